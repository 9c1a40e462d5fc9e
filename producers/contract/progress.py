"""The progress of a batch, as a message. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from producers.contract.messages import Priority


class Progress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The progress of a batch. Times are Unix milliseconds on Redis's clock.

    Attributes:
        batch_id: the batch.
        total: how many changes it has.
        queued: how many of them wait.
        in_flight: how many requests of it are being sent; changes that are coalesced into one count as one.
        outcomes: how many changes ended with each outcome; outcomes without a change are absent.
        sealed: whether its producer has added all of its changes.
        cancelled: whether it was cancelled.
        complete: whether it is sealed and all of its changes have ended.
        priority: "interactive" or "bulk".
        created_at_ms: when it was created.
        started_at_ms: when the first of its changes was claimed; None if none was.
        finished_at_ms: when it became complete; None if it is not.
        eta_s: estimated seconds until all of its changes have ended, see producers/README.md; None if a change of it is
            paused, no worker is running, or it is cancelled: what is left of it then ends without being sent.
        waits_for: the job ID of a change that it waits for, whose status says why; None if none is known. It may be one
            that is before the batch's own in its lane.
        retried_as: the batches as which failed changes of it were enqueued again, oldest first.
    """

    batch_id: str
    total: int
    queued: int
    in_flight: int
    outcomes: dict[str, int]
    sealed: bool
    cancelled: bool
    complete: bool
    priority: Priority
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    eta_s: float | None
    waits_for: str | None = None
    retried_as: list[str] = msgspec.field(default_factory=list)

    @property
    def ended(self) -> int:
        """The number of changes that have ended."""
        return sum(self.outcomes.values())


def merge_progress(parts: Sequence[Progress]) -> Progress:
    """Return the progress of a batch from that of its parts in several shards; there is at least one.

    It is complete when every part is. Its estimate is the latest of theirs.
    """
    if len(parts) == 1:
        return parts[0]
    outcomes: dict[str, int] = {}
    for part in parts:
        for outcome, count in part.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    is_complete = all(part.complete for part in parts)
    last = max(parts, key=lambda part: math.inf if part.eta_s is None else part.eta_s)
    return Progress(
        batch_id=parts[0].batch_id,
        total=sum(part.total for part in parts),
        queued=sum(part.queued for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        outcomes=outcomes,
        sealed=all(part.sealed for part in parts),
        cancelled=any(part.cancelled for part in parts),
        complete=is_complete,
        priority=parts[0].priority,
        created_at_ms=min(part.created_at_ms for part in parts),
        started_at_ms=min((part.started_at_ms for part in parts if part.started_at_ms is not None), default=None),
        finished_at_ms=max(part.finished_at_ms or 0 for part in parts) if is_complete else None,
        eta_s=last.eta_s,
        waits_for=last.waits_for or next((part.waits_for for part in parts if part.waits_for), None),
        retried_as=list(dict.fromkeys(batch_id for part in parts for batch_id in part.retried_as)),
    )


def partial_progress(parts: Sequence[Progress]) -> Progress | None:
    """Return the progress of a batch of which only these parts are known: it is not complete; None if there is none."""
    if not parts:
        return None
    known = merge_progress(parts)
    return msgspec.structs.replace(known, complete=False, finished_at_ms=None, eta_s=None)
