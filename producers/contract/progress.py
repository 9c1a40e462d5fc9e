"""Where a batch is: the message that progress answers with. No I/O."""

from __future__ import annotations

import msgspec

from producers.contract.messages import Priority


class Progress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a batch is.

    Attributes:
        batch_id: the batch.
        total: how many changes it has.
        queued: how many wait.
        in_flight: how many are being sent, counting a request that several share as one.
        outcomes: how many ended in each way; ways in which none ended are absent.
        sealed: whether its producer said that nothing more comes.
        cancelled: whether it was taken back.
        complete: whether it is sealed and all has ended.
        priority: "interactive" or "bulk".
        created_at_ms: when it was begun, Unix milliseconds, Redis's clock.
        started_at_ms: when the first of its changes was claimed; None if none was.
        finished_at_ms: when it was complete; None if it is not.
        eta_s: seconds until all that it has will have ended; None if it is paused, or no worker was seen of late.
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

    @property
    def ended(self) -> int:
        """How many changes have their outcome."""
        return sum(self.outcomes.values())
