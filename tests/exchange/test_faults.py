"""Which fault hits a request, and how it answers."""

from __future__ import annotations

import random

import pytest

from ops.exchange import Fault, FaultError, Faults
from ops.exchange import faults as faults_module
from ops.exchange.faults import KINDS, NO_FAULT, Page, reply_for
from ops.exchange.verdicts import Verdict


def faults(*given: Fault, seed: int = 1) -> Faults:
    """Return faults with a seeded random generator."""
    return Faults(given, rng=random.Random(seed))  # noqa: S311  chance, not secrecy


def test_without_faults_no_request_is_hit() -> None:
    """There is no latency either."""
    assert faults().select("1001") == NO_FAULT


def test_the_same_seed_hits_the_same_requests_at_the_given_rate() -> None:
    """A failed run can be repeated from its seed."""
    first, second = (faults(Fault("http_500", probability=0.3)) for _ in range(2))
    struck = [first.select("").kind for _ in range(1000)]
    assert struck == [second.select("").kind for _ in range(1000)]
    assert 250 < struck.count("http_500") < 350


def test_a_fault_with_first_hits_that_many_requests() -> None:
    """The remaining count can be read, and ends at 0."""
    script = faults(Fault("fail", first=2))
    assert [script.select("").kind for _ in range(4)] == ["fail", "fail", "", ""]
    assert script.remaining()[0][1] == 0


def test_a_fault_of_a_user_hits_no_other_user() -> None:
    """A request without a known key belongs to no user."""
    script = faults(Fault("http_502", user="1001"))
    assert [script.select(user).kind for user in ("1001", "1002", "")] == ["http_502", "", ""]


def test_the_first_fault_that_hits_answers_and_latencies_add_up() -> None:
    """A fault that an earlier one precedes keeps its count."""
    script = faults(Fault("latency", ms=20), Fault("http_500", first=1), Fault("fail", first=1), Fault("latency", ms=5))
    strikes = [script.select("") for _ in range(3)]
    assert [strike.kind for strike in strikes] == ["http_500", "fail", "latency"]
    assert all(strike.delay_ms == 25 for strike in strikes)


def test_latency_is_its_base_plus_a_jitter_within_bounds() -> None:
    """The jitter is uniform, so 100 requests meet both halves of its range."""
    script = faults(Fault("latency", ms=10, jitter_ms=20))
    delays = [script.select("").delay_ms for _ in range(100)]
    assert 10 <= min(delays) < 20 < max(delays) <= 30


def test_only_latency_and_an_outage_hit_a_request_that_breaches_a_limit() -> None:
    """Any other fault would hide the breach behind its own reply."""
    script = faults(Fault("http_500"), Fault("latency", ms=1), Fault("outage", first=1))
    assert [script.select("", within_limits=False).kind for _ in range(2)] == ["outage", "latency"]


def test_faults_can_be_added_replaced_and_cleared() -> None:
    """The changes take effect during a run."""
    script = faults(Fault("fail"))
    script.replace([Fault("html")])
    script.add(Fault("fail"))
    assert [fault.kind for fault, _ in script.remaining()] == ["html", "fail"]
    script.clear()
    assert script.select("") == NO_FAULT


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("http_429"), 429, "429"),
        (Fault("code:45001"), 400, "45001"),
        (Fault("code:40725"), 500, "40725"),
        (Fault("code:40015", status=500), 500, "40015"),
        (Fault("fail"), 200, "00000"),
    ],
)
def test_a_fault_with_a_code_answers_as_the_exchange_would(fault: Fault, status: int, code: str) -> None:
    """No such reply counts as a success, not even the one with status 200 and code 00000."""
    verdict = reply_for(fault)
    assert isinstance(verdict, Verdict)
    assert (verdict.status, verdict.code, verdict.is_success) == (status, code, False)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault("http_502"), 502), (Fault("html"), 200), (Fault("html", status=403), 403), (Fault("outage"), 503)],
)
def test_a_fault_of_a_gateway_answers_a_page(fault: Fault, status: int) -> None:
    """The page is HTML, which a client cannot decode as JSON."""
    page = reply_for(fault)
    assert isinstance(page, Page)
    assert page.status == status
    assert page.html.startswith("<html>")


@pytest.mark.parametrize("fault", [Fault("outage", status=0), Fault("reset_before"), Fault("hang")])
def test_a_fault_of_the_connection_has_no_status(fault: Fault) -> None:
    """Status 0 stands for a broken connection."""
    assert reply_for(fault)[0] == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "http_418"}, "http_418"),
        ({"kind": "code:abc"}, "code:abc"),
        ({"kind": "fail", "probability": 1.5}, "1.5"),
        ({"kind": "hang", "ms": -1}, "hang"),
        ({"kind": "fail", "first": -1}, "fail"),
        ({"kind": "html", "status": 0}, "html"),
        ({"kind": "html", "status": 99}, "99"),
    ],
)
def test_a_malformed_fault_is_rejected_by_name(values: dict[str, object], named: str) -> None:
    """The error occurs at construction, before a run starts."""
    with pytest.raises(FaultError, match=named):
        Fault(**values)  # type: ignore[arg-type]  # wrong values are the point


def test_every_kind_of_fault_is_documented_in_its_module() -> None:
    """The docstring of the module is the reference for scripts of faults."""
    manual = faults_module.__doc__ or ""
    assert all(f"\n    {kind} " in manual for kind in KINDS)
