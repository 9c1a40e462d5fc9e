"""The plan that reads the progress of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from producers.contract.keyspace import BUCKET_SUFFIX
from producers.contract.messages import THROTTLED, Outcome, Priority
from producers.contract.progress import Progress
from producers.contract.stored_values import Listing, read_each, unix_ms
from producers.errors import BatchNotFound
from producers.transport.plan import Plan, RunScript
from producers.transport.scripts import Script

PROGRESS = Script.load(
    "producers.queue",
    "progress.lua",
    constants={"BUCKET_SUFFIX": BUCKET_SUFFIX, "THROTTLED": THROTTLED},
)

FIELDS = (
    *("created", "total", "in flight", "sealed", "cancelled", "complete", "priority", "started"),
    *(f"o:{outcome}" for outcome in Outcome),
)
"""The fields to read from the batch's hash, which also holds a digest for each chunk."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """The counters of a batch as they are stored."""

    batch_id: str
    eta_ms: int
    fields: dict[str, bytes]


def fetch_progress(batch_id: str) -> Plan[Progress]:
    """Return the progress of a batch; one round trip.

    Raises:
        BatchNotFound: there is no such batch, it has expired, or its counters cannot be read.
    """
    stored = yield from fetch_stored(batch_id)
    if stored is None:
        raise batch_not_found_error(batch_id)
    found = read_progress([stored])
    if not found:
        raise BatchNotFound(f"the counters of batch {batch_id} cannot be read: something else wrote to them")
    return found[0]


def fetch_stored(batch_id: str) -> Plan[StoredBatch | None]:
    """Return the counters of a batch; None if there is no such batch."""
    eta_ms, fields = yield from RunScript(PROGRESS, [batch_id, *FIELDS], parse=_parse, idempotent=True)
    return StoredBatch(batch_id, eta_ms, fields) if "created" in fields else None


def read_progress(batches: Sequence[StoredBatch]) -> Listing[Progress]:
    """Return the progress of batches, without those whose counters cannot be read."""
    return read_each(batches, _progress)


def _progress(stored: StoredBatch) -> Progress:
    fields = stored.fields

    def count(name: str) -> int:
        return int(fields.get(name, 0))

    def time(name: str) -> int | None:
        return unix_ms(fields[name]) if name in fields else None

    outcomes = {outcome.value: ended for outcome in Outcome if (ended := count(f"o:{outcome}"))}
    total, in_flight = count("total"), count("in flight")
    return Progress(
        batch_id=stored.batch_id,
        total=total,
        queued=total - sum(outcomes.values()) - in_flight,
        in_flight=in_flight,
        outcomes=outcomes,
        sealed="sealed" in fields,
        cancelled="cancelled" in fields,
        complete="complete" in fields,
        priority=Priority(fields["priority"].decode()),
        created_at_ms=unix_ms(fields["created"]),
        started_at_ms=time("started"),
        finished_at_ms=time("complete"),
        eta_s=None if stored.eta_ms < 0 else stored.eta_ms / 1000,
    )


def _parse(reply: list[Any]) -> tuple[int, dict[str, bytes]]:
    eta_ms, *values = reply
    return eta_ms, {name: value for name, value in zip(FIELDS, values, strict=True) if value}


def batch_not_found_error(batch_id: str) -> BatchNotFound:
    """Return the error for a batch that does not exist."""
    return BatchNotFound(f"no batch {batch_id}: it was never begun, or has expired")
