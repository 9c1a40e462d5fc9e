"""The plan that asks where a batch is. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from producers import keys
from producers.contract import Outcome, Priority
from producers.errors import BatchNotFound
from producers.scripts import Argument, Script
from producers.trips import Call, Plan

PROGRESS = Script.load("producers", "progress.lua")

FIELDS = (
    *("created", "total", "in flight", "sealed", "cancelled", "complete", "priority", "started"),
    *(f"o:{outcome}" for outcome in Outcome),
)
"""Of the batch's hash, what is told. It holds a digest for each chunk besides."""


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


def progress(batch_id: str) -> Plan[Progress]:
    """Where a batch is, in one trip.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
    """
    script_keys = [keys.BATCH + batch_id, keys.EGRESSES, keys.PAUSED, keys.RATES]
    args: list[Argument] = [keys.LANE, keys.BUCKET, keys.ENDPOINT, keys.EGRESS, *FIELDS]
    reply = yield Call(PROGRESS, script_keys, args, repeatable=True)
    return _read_progress(batch_id, reply)


def _read_progress(batch_id: str, reply: list[Any]) -> Progress:
    eta_ms, *values = reply
    fields = {name: value for name, value in zip(FIELDS, values, strict=True) if value}
    if "created" not in fields:
        raise no_batch(batch_id)

    def number(name: str) -> int:
        return int(fields.get(name, 0))

    outcomes = {outcome.value: number(f"o:{outcome}") for outcome in Outcome if number(f"o:{outcome}")}
    total, in_flight = number("total"), number("in flight")
    return Progress(
        batch_id=batch_id,
        total=total,
        queued=total - sum(outcomes.values()) - in_flight,
        in_flight=in_flight,
        outcomes=outcomes,
        sealed="sealed" in fields,
        cancelled="cancelled" in fields,
        complete="complete" in fields,
        priority=Priority(fields["priority"].decode()),
        created_at_ms=number("created"),
        started_at_ms=number("started") or None,
        finished_at_ms=number("complete") or None,
        eta_s=None if eta_ms < 0 else eta_ms / 1000,
    )


def no_batch(batch_id: str) -> BatchNotFound:
    """The error of a batch that is not there."""
    return BatchNotFound(f"no batch {batch_id}: it was never begun, or has expired")
