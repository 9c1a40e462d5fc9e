"""What the judge accepts: unknown order, repeated requests, withdrawn changes, and one late request after a stall."""

from __future__ import annotations

from ops.chaos.evidence import Evidence
from ops.ledger.evidence import Stall
from producers import Outcome
from tests.support.changes import attempt, result
from tests.support.chaos_evidence import (
    S,
    arrival,
    broken,
    change,
    ends,
    holding,
    sound,
    with_change,
    with_result,
)


def test_what_may_or_may_not_be_accepted_may_be_absent() -> None:
    """A producer that died during its call got no answer; the change may be absent."""
    seen = sound()
    with_change(seen, 3, accepted_ns=None)
    del seen.results["c3"]
    del seen.arrivals[2]
    seen.counters = {"applied": 4}
    holding(seen, 2)

    assert broken(seen) == set()


def test_changes_of_calls_that_overlapped_have_no_order() -> None:
    """Each was requested before the other was answered."""
    seen = sound()
    with_change(seen, 2, requested_ns=S, call=(1, 0))
    seen.arrivals[0].values, seen.arrivals[1].values = ("2",), ("1",)
    ends(seen, 1, 12.01)
    ends(seen, 2, 11.01)

    assert broken(seen) == set()


def test_a_change_that_is_repeated_before_a_later_one_is_in_order() -> None:
    """At least once: after a time-out or a crash a request is sent again."""
    seen = sound()
    seen.arrivals.insert(1, arrival(1, 11.5))
    ends(seen, 1, 11.51)

    assert broken(seen) == set()


def test_a_request_may_follow_one_that_nobody_waits_for_any_more() -> None:
    """It timed out at the worker, while the exchange still held it."""
    seen = sound()
    seen.arrivals[0].answered_ns = 14 * S
    seen.arrivals[0].accepted = False
    seen.arrivals.insert(1, arrival(1, 12.6))
    seen.arrivals[2].at_ns += S
    ends(seen, 1, 12.61)
    ends(seen, 2, 13.01)

    assert broken(seen) == set()


def test_changes_that_were_sent_together_may_be_sent_one_by_one_afterwards() -> None:
    """As after a refusal of the shared request: only a request without the earlier one goes before it."""
    seen = sound()
    for number in (1, 2):
        with_change(seen, number, coalesces=True)
    seen.arrivals.insert(0, arrival(1, 10.5, values=("1", "2"), accepted=False))

    assert broken(seen) == set()


def test_what_a_withdrawn_change_had_replaced_is_sent_after_all() -> None:
    """It was in a shared request that failed, and its deadline passed: the changes before it are due again."""
    seen = sound()
    with_change(seen, 2, coalesces=True, ttl_s=1.0)
    with_result(seen, 2, Outcome.EXHAUSTED)
    seen.arrivals[0:2] = [arrival(2, 11, accepted=False), arrival(1, 12)]
    ends(seen, 1, 12.01)
    holding(seen, 3)

    assert broken(seen) == set()


def test_what_an_applied_change_had_replaced_is_not_sent_any_more() -> None:
    """The exchange would end with the older value."""
    seen = sound()
    with_change(seen, 2, coalesces=True)
    seen.arrivals[0:2] = [arrival(2, 11), arrival(1, 12)]

    assert "lanes keep their order" in broken(seen)


def test_a_change_whose_successor_was_granted_is_applied() -> None:
    """It was sent before with no answer, then replaced in the request that was granted; chains are followed."""
    seen = sound()
    with_change(seen, 2, coalesces=True)
    seen.arrivals[0].accepted = False
    with_result(seen, 1, Outcome.APPLIED, successor="c2")

    assert broken(seen) == set()


def stalled(seen: Evidence, until_s: float) -> Evidence:
    """Add a stall that was longer than a session and ended at a given time."""
    seen.stalls = [Stall("worker 0", round((until_s - 5) * S), round(until_s * S))]
    return seen


def test_one_request_of_a_worker_that_was_stopped_in_mid_send_is_excused() -> None:
    """The documented case: the process was stopped between its look at the session and the write."""
    seen = stalled(sound(), 30)
    seen.arrivals.append(arrival(1, 30.1))
    holding(seen, 1)

    assert broken(seen) == set()


def test_a_second_lane_is_not_excused_by_the_same_stall() -> None:
    """A process has one thread, which is stopped in the middle of one request."""
    seen = stalled(sound(), 30)
    seen.changes["d1"] = change(6, user="x", job_id="d1")
    seen.changes["d2"] = change(7, user="x", job_id="d2")
    for number in (6, 7):
        job_id = f"d{number - 5}"
        seen.results[job_id] = result(job_id, user_id="x", trader_id="t")
        seen.arrivals.append(arrival(number, 10 + number, user="x"))
    seen.arrivals += [arrival(1, 30.1), arrival(6, 30.2, user="x")]

    assert "lanes keep their order" in broken(seen)


def test_a_late_request_long_after_a_stall_is_not_excused() -> None:
    """What was about to be written is written at once."""
    seen = stalled(sound(), 30)
    seen.arrivals.append(arrival(1, 31))

    assert "lanes keep their order" in broken(seen)


def test_five_times_fail_is_a_rejection() -> None:
    """The exchange answered success with data "fail" each time."""
    seen = sound()
    seen.arrivals[0].accepted = False
    with_result(seen, 1, Outcome.REJECTED, attempts=[attempt("failed") for _ in range(5)])

    assert broken(seen) == set()
