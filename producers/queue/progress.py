"""The plan that reads the progress of a batch."""

from __future__ import annotations

from typing import Any

from producers.contract import keyspace
from producers.contract.messages import Outcome, Priority
from producers.contract.progress import Progress
from producers.errors import BatchNotFound
from producers.queue.bucket import BUCKET_KEYS
from producers.transport.plan import Plan, RunScript
from producers.transport.scripts import Script

PROGRESS = Script.load(
    "producers.queue",
    "progress.lua",
    constants={**BUCKET_KEYS, "LANE_PREFIX": keyspace.LANE, "EGRESS_PREFIX": keyspace.EGRESS},
)

FIELDS = (
    *("created", "total", "in flight", "sealed", "cancelled", "complete", "priority", "started"),
    *(f"o:{outcome}" for outcome in Outcome),
)
"""The fields to read from the batch's hash, which also holds a digest for each chunk."""


def fetch_progress(batch_id: str) -> Plan[Progress]:
    """Return the progress of a batch; one round trip.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
    """
    script_keys = [keyspace.BATCH + batch_id, keyspace.EGRESSES, keyspace.PAUSED, keyspace.RATES]
    eta_ms, fields = yield from RunScript(PROGRESS, script_keys, [*FIELDS], parse=_parse, idempotent=True)
    if "created" not in fields:
        raise batch_not_found_error(batch_id)

    def number(name: str) -> int:
        return int(fields.get(name, 0))

    outcomes = {outcome.value: count for outcome in Outcome if (count := number(f"o:{outcome}"))}
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


def _parse(reply: list[Any]) -> tuple[int, dict[str, bytes]]:
    eta_ms, *values = reply
    return eta_ms, {name: value for name, value in zip(FIELDS, values, strict=True) if value}


def batch_not_found_error(batch_id: str) -> BatchNotFound:
    """Return the error for a batch that does not exist."""
    return BatchNotFound(f"no batch {batch_id}: it was never begun, or has expired")
