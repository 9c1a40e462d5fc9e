"""What the ledger counts, at times that the tests choose."""

from __future__ import annotations

from ops.exchange import Ledger
from ops.exchange.windows import SECOND_NS

SETTINGS = "/settings"


def arrive(ledger: Ledger, at_s: float, user: str = "1001", path: str = SETTINGS, **end: object) -> None:
    arrival = ledger.record_arrival(round(at_s * SECOND_NS), user, "POST", path)
    for name, value in ({"status": 200, "code": "00000", "accepted": True} | end).items():
        setattr(arrival, name, value)
    ledger.record_reply(arrival)


def test_the_report_has_each_user_s_rate_and_highest_second() -> None:
    """A rate is computed from the intervals: three arrivals in 2 s are one a second."""
    ledger = Ledger()
    for at_s in (0.0, 0.5, 2.0):
        arrive(ledger, at_s)
    arrive(ledger, 4.0, "1002")
    report = ledger.report()
    alice = report.users["1001"]
    assert (alice.arrivals, alice.accepted, alice.throttled, alice.peak_in_1s, alice.rate_per_s) == (3, 3, 0, 2, 1.0)
    assert (report.users["1002"].rate_per_s, report.users["1002"].peak_in_1s) == (0.0, 1)
    assert (report.arrivals, report.span_s, report.rate_per_s) == (4, 4.0, 0.75)


def test_the_highest_second_is_of_one_endpoint_as_the_limit_is() -> None:
    """Reads beside writes must not look like a breach."""
    ledger = Ledger()
    for index in range(6):
        arrive(ledger, index / 100, path=f"/{index % 2}")
    assert ledger.report().users["1001"].peak_in_1s == 3


def test_ends_are_counted_by_status_code_and_fault() -> None:
    """A fault's 429 is not counted as throttled, and a broken connection is not counted as answered."""
    ledger = Ledger()
    arrive(ledger, 0)
    arrive(ledger, 1, status=429, code="429", accepted=False, throttled=True)
    arrive(ledger, 2, status=429, code="429", accepted=False, fault="http_429")
    arrive(ledger, 3, status=0, fault="reset_after")
    report = ledger.report()
    assert report.by_status == {"0": 1, "200": 1, "429": 2}
    assert report.by_code == {"00000": 2, "429": 2}
    assert report.by_fault == {"http_429": 1, "reset_after": 1}
    assert (report.answered, report.accepted, report.throttled) == (3, 2, 1)


def test_an_arrival_that_has_not_ended_is_an_arrival_already() -> None:
    """A request that hangs is visible while it hangs."""
    ledger = Ledger()
    ledger.record_arrival(0, "1001", "POST", SETTINGS)
    assert (ledger.report().arrivals, ledger.report().answered) == (1, 0)


def test_only_the_newest_arrivals_are_kept_but_all_are_counted() -> None:
    """Memory is bounded, and the peak includes arrivals that were discarded."""
    ledger = Ledger(max_arrivals=2)
    for at_s in (0.0, 0.1, 0.2, 5.0, 9.0):
        arrive(ledger, at_s)
    assert [arrival.at_ns for arrival in ledger.arrivals] == [5 * SECOND_NS, 9 * SECOND_NS]
    assert (ledger.report().arrivals, ledger.report().users["1001"].peak_in_1s) == (5, 3)


def test_a_request_that_ends_after_a_reset_is_not_counted() -> None:
    """The reset has discarded its arrival."""
    ledger = Ledger()
    before = ledger.record_arrival(0, "1001", "POST", SETTINGS)
    ledger.reset()
    arrive(ledger, 1)
    ledger.record_reply(before)
    assert sum(ledger.report().by_status.values()) == 1
