"""What the load `crash` makes of the exchange double's record."""

from __future__ import annotations

from typing import Any

from ops.bench.measurement import NS_PER_MS
from ops.bench.peers.recoveries import Recovery

KILLED_MS = 1_000


def arrival(user: str, at_ms: int, answered_ms: int, *, disconnected: bool = False) -> dict[str, Any]:
    """Return a line of the double's record."""
    return {
        "user": user,
        "at_ns": at_ms * NS_PER_MS,
        "answered_ns": answered_ms * NS_PER_MS,
        "accepted": True,
        "disconnected": disconnected,
    }


def recovery(users: list[str], *arrivals: dict[str, Any]) -> Recovery:
    """Return what became of the users' jobs after the kill."""
    return Recovery(users, arrivals, KILLED_MS * NS_PER_MS)


def test_a_job_in_flight_is_recovered_when_it_is_sent_again() -> None:
    """Nobody read the reply to its first request, so its repetition is no doubling."""
    seen = recovery(
        ["a", "b"],
        arrival("a", 900, 1_100),
        arrival("b", 950, 1_150),
        arrival("a", 3_000, 3_200),
        arrival("b", 5_000, 5_200),
    )
    assert seen.is_complete
    assert seen.figures() == {"first_s": 2.0, "last_s": 4.0, "unrecovered_percent": 0, "unsent": 0, "doubled": 0}


def test_there_are_no_times_while_no_job_in_flight_was_sent_again() -> None:
    """A job that the killed worker had only fetched ahead is unsent."""
    seen = recovery(["a", "b"], arrival("a", 900, 1_100))
    assert not seen.is_complete
    assert seen.figures() == {"unrecovered_percent": 100, "unsent": 1, "doubled": 0}


def test_a_job_is_doubled_if_it_is_sent_again_after_its_worker_was_sent_a_success() -> None:
    """The double answered before the kill; the result was not stored by then."""
    time_requests = [arrival("", 600, 800), arrival("", 2_000, 2_200)]
    seen = recovery(["a"], *time_requests, arrival("a", 700, 900), arrival("a", 3_000, 3_200))
    assert seen.is_complete
    assert seen.doubled == {"a"}


def test_a_job_that_is_not_answered_yet_is_in_flight() -> None:
    """The double records the time of its reply only then."""
    assert recovery(["a"], arrival("a", 900, 0)).in_flight == {"a"}


def test_a_request_on_its_way_at_the_kill_is_in_flight() -> None:
    """It arrives after the kill, but nobody is there for the reply."""
    seen = recovery(["a"], arrival("a", 1_010, 1_210, disconnected=True), arrival("a", 3_000, 3_200))
    assert seen.in_flight == {"a"}
    assert seen.waits_s == {"a": 2.0}
    assert not seen.doubled
