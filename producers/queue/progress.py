"""The plan that reads the progress of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from producers.contract import ids
from producers.contract.messages import THROTTLED, Outcome, Priority
from producers.contract.progress import Progress
from producers.contract.stored_values import Listing, read_each, unix_ms
from producers.errors import BatchNotFound
from producers.queue.parts import BUCKET, CLOCK, LANE
from producers.transport.plan import Plan, RunScript
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script


class ProgressRequest(Message):
    """What progress.lua is given: the batch, and the fields of it to return."""

    batch_id: str
    fields: list[str]


PROGRESS = Script.load(
    "producers.queue",
    "progress.lua",
    parts=[CLOCK, BUCKET, LANE],
    constants={"THROTTLED": THROTTLED, "BATCH_MARK": ids.BATCH_MARK},
    request=ProgressRequest,
)

FIELDS = [
    *("created_at", "total", "in_flight", "sealed_at", "cancelled_at", "completed_at", "priority", "started_at"),
    "retried_as",
    *(f"outcome_{outcome}" for outcome in Outcome),
]
"""The fields to read from the batch's hash, which also holds a digest for each chunk."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """The counters of a batch as they are stored."""

    batch_id: str
    eta_ms: int
    waits_for: str
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
    eta_ms, waits_for, fields = yield from RunScript(
        PROGRESS, [encode(ProgressRequest(batch_id, FIELDS))], parse=_parse, idempotent=True
    )
    return StoredBatch(batch_id, eta_ms, waits_for, fields) if "created_at" in fields else None


def read_progress(batches: Sequence[StoredBatch]) -> Listing[Progress]:
    """Return the progress of batches, without those whose counters cannot be read."""
    return read_each(batches, _progress)


def _progress(stored: StoredBatch) -> Progress:
    fields = stored.fields

    def count(name: str) -> int:
        return int(fields.get(name, 0))

    def time(name: str) -> int | None:
        return unix_ms(fields[name]) if name in fields else None

    outcomes = {outcome.value: ended for outcome in Outcome if (ended := count(f"outcome_{outcome}"))}
    total, in_flight = count("total"), count("in_flight")
    return Progress(
        batch_id=stored.batch_id,
        total=total,
        queued=total - sum(outcomes.values()) - in_flight,
        in_flight=in_flight,
        outcomes=outcomes,
        sealed="sealed_at" in fields,
        cancelled="cancelled_at" in fields,
        complete="completed_at" in fields,
        priority=Priority(fields["priority"].decode()),
        created_at_ms=unix_ms(fields["created_at"]),
        started_at_ms=time("started_at"),
        finished_at_ms=time("completed_at"),
        eta_s=None if stored.eta_ms < 0 else stored.eta_ms / 1000,
        waits_for=stored.waits_for or None,
        retried_as=fields.get("retried_as", b"").decode(errors="replace").split(),
    )


def _parse(reply: list[Any]) -> tuple[int, str, dict[str, bytes]]:
    eta_ms, waits_for, *values = reply
    fields = {name: value for name, value in zip(FIELDS, values, strict=True) if value}
    return eta_ms, waits_for.decode(errors="replace"), fields


def batch_not_found_error(batch_id: str) -> BatchNotFound:
    """Return the error for a batch that does not exist."""
    return BatchNotFound(f"no batch {batch_id}: it was never begun, or has expired")
