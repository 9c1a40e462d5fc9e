"""The progress of a batch from that of its parts."""

from __future__ import annotations

from typing import Any

from producers import Priority, Progress
from producers.contract.progress import merge_progress


def part(**changed: Any) -> Progress:
    """Return the progress of a part with ten changes."""
    fields: dict[str, Any] = {
        "batch_id": "b",
        "total": 10,
        "queued": 4,
        "in_flight": 1,
        "outcomes": {"applied": 5},
        "sealed": True,
        "cancelled": False,
        "complete": False,
        "priority": Priority.BULK,
        "created_at_ms": 1000,
        "started_at_ms": 2000,
        "finished_at_ms": None,
        "eta_s": 3.0,
    }
    return Progress(**(fields | changed))


DONE = part(
    queued=0, in_flight=0, outcomes={"applied": 9, "rejected": 1}, complete=True, finished_at_ms=5000, eta_s=0.0
)


def test_counters_are_added_up_and_a_batch_is_complete_when_every_part_is() -> None:
    """It began with the first part, and ended with the last."""
    half = merge_progress([part(created_at_ms=900, started_at_ms=None), DONE])
    whole = merge_progress([DONE, part(complete=True, finished_at_ms=6000, eta_s=0.0)])

    assert (half.total, half.queued, half.in_flight, half.ended) == (20, 4, 1, 15)
    assert half.outcomes == {"applied": 14, "rejected": 1}
    assert (half.created_at_ms, half.started_at_ms) == (900, 2000)
    assert (half.complete, half.finished_at_ms, half.eta_s) == (False, None, 3.0)
    assert (whole.complete, whole.finished_at_ms, whole.eta_s) == (True, 6000, 0.0)


def test_a_batch_is_sealed_when_every_part_is_and_cancelled_when_one_is() -> None:
    """A cancellation reaches all parts, one after the other."""
    found = merge_progress([part(sealed=False), part(cancelled=True)])

    assert (found.sealed, found.cancelled) == (False, True)


def test_the_end_of_a_batch_is_unknown_if_that_of_a_part_is() -> None:
    """It names the change that this part waits for."""
    found = merge_progress([part(waits_for="b..1"), part(eta_s=None, waits_for="b..2")])
    other = merge_progress([part(eta_s=9.0), part(waits_for="b..2", retried_as=["r1"]), part(retried_as=["r1", "r2"])])

    assert (found.eta_s, found.waits_for) == (None, "b..2")
    assert (other.eta_s, other.waits_for, other.retried_as) == (9.0, "b..2", ["r1", "r2"])


def test_the_only_part_is_the_progress() -> None:
    """Of a queue without shards."""
    assert merge_progress([DONE]) is DONE
