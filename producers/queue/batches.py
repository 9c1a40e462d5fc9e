"""Plans about batches: sealing and cancelling them."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from producers.contract import ids
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority
from producers.contract.stored_values import read_each
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.chunking import conflict_error
from producers.queue.parts import BATCHES, CLOCK, LAYOUT_CHECK
from producers.queue.progress import batch_not_found_error
from producers.queue.submit import SubmitOptions
from producers.queue.submit_messages import SubmitVerdict
from producers.transport.commands import HEXISTS, HMGET, SSCAN
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script


class SealVerdict(IntEnum):
    """What seal.lua replies."""

    SEALED = 1
    ALREADY_SEALED = 0
    NO_BATCH = -1
    OTHER_CONTENT = -2


class SealRequest(Message):
    """What seal.lua is given.

    Attributes:
        batch_id: the batch.
        content: digest of its content.
        priority: of its changes.
        is_cancel: 1 to cancel it; `content` and `priority` are then not used.
        lane_full_count: changes rejected by a full lane: if above 0, changes may still be added to the batch.
        result_ttl_ms: TTL of complete batches.
        retry_of: the batch whose failed changes it retries; "" for none.
    """

    batch_id: str
    content: str
    priority: str
    is_cancel: int
    lane_full_count: int
    result_ttl_ms: int
    retry_of: str


SEAL = Script.load(
    "producers.queue",
    "seal.lua",
    parts=[CLOCK, BATCHES, LAYOUT_CHECK],
    constants={"VERDICT": SealVerdict},
    request=SealRequest,
    runs_when_full=True,
)

SCAN_COUNT = 1000

APPENDED = "appended"
"""The content of all batches to which changes are added one by one. The digest of each change is compared instead."""


def check_existing(keys: Keyspace, batch_id: str, options: SubmitOptions) -> Plan[bool]:
    """Return whether a batch exists, before a fan-out writes anything.

    Raises:
        BatchConflict: the batch has other content, or was cancelled.
    """
    content, cancelled = yield from HMGET(keys.batch + batch_id, "content", "cancelled_at")
    if content is None:
        return False
    if content != options.content.encode():
        raise conflict_error(batch_id, SubmitVerdict.OTHER_CONTENT)
    if cancelled is not None:
        raise conflict_error(batch_id, SubmitVerdict.CANCELLED)
    return True


def has_template(keys: Keyspace, batch_id: str) -> Plan[bool]:
    """Return whether the changes of a batch share one template.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
    """
    exists, has_template = yield from Transaction(
        HEXISTS(keys.batch + batch_id, "created_at"), HEXISTS(keys.batch + batch_id, "template")
    )
    if not exists:
        raise batch_not_found_error(batch_id)
    return has_template


def seal(
    batch_id: str, options: SubmitOptions, *, lane_full_count: int, result_ttl_ms: int, retry_of: str = ""
) -> Plan[None]:
    """Close a batch to further changes.

    Args:
        batch_id: the batch.
        options: the options of its changes.
        lane_full_count: how many changes were rejected because their lane was full: another run may still add them.
        result_ttl_ms: how long the batch is kept once it is complete.
        retry_of: the batch whose failed changes it retries; "" for none.

    Raises:
        BatchConflict: the batch has other content.
    """
    verdict = yield from _run_seal(
        SealRequest(batch_id, options.content, options.priority.value, 0, lane_full_count, result_ttl_ms, retry_of)
    )
    if verdict is SealVerdict.OTHER_CONTENT:
        raise conflict_error(batch_id, SubmitVerdict.OTHER_CONTENT)


def seal_appended(keys: Keyspace, batch_id: str, *, result_ttl_ms: int) -> Plan[None]:
    """Close a batch to which changes were added one by one. Closing it again changes nothing.

    Raises:
        BatchConflict: the batch is a fan-out's, or was cancelled.
        BatchNotFound: there is no such batch, or it has expired.
    """
    options = SubmitOptions(lane_limit=0, content=APPENDED)
    if not (yield from check_existing(keys, batch_id, options)):
        raise batch_not_found_error(batch_id)
    yield from seal(batch_id, options, lane_full_count=0, result_ttl_ms=result_ttl_ms)


def cancel_batch(keys: Keyspace, batch_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Close a batch to further changes, and cancel its changes except those in flight.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
    """
    verdict = yield from _run_seal(SealRequest(batch_id, "", "", 1, 0, result_ttl_ms, ""))
    if verdict is SealVerdict.NO_BATCH:
        raise batch_not_found_error(batch_id)
    counts: Counter[Cancellation] = Counter()
    scan_position = malformed = 0
    while True:
        scan_position, found = yield from SSCAN(keys.batch_members + batch_id, scan_position, "COUNT", SCAN_COUNT)
        members = read_each(found, bytes.decode)
        malformed += members.malformed
        job_ids = [f"{batch_id}{ids.BATCH_MARK}{member}" for member in members]
        counts.update((yield from cancel_jobs(keys, job_ids, result_ttl_ms=result_ttl_ms)))
        if not scan_position:
            return CancelReport(counts[Cancellation.CANCELLED], counts[Cancellation.IN_FLIGHT], malformed)


def cancel_absent(
    keys: Keyspace, batch_id: str, content: str, priority: Priority, *, result_ttl_ms: int
) -> Plan[CancelReport]:
    """Cancel the part of a batch in a shard that had none a moment ago: whatever it has now, and it accepts no more."""
    options = SubmitOptions(lane_limit=0, priority=priority, content=content)
    yield from seal(batch_id, options, lane_full_count=0, result_ttl_ms=result_ttl_ms)
    return (yield from cancel_batch(keys, batch_id, result_ttl_ms=result_ttl_ms))


def fetch_content(keys: Keyspace, batch_id: str) -> Plan[tuple[str, Priority]]:
    """Return the content of a batch that exists, and its priority."""
    content, priority = yield from HMGET(keys.batch + batch_id, "content", "priority")
    return (content or b"").decode(), Priority((priority or b"bulk").decode())


def _run_seal(request: SealRequest) -> RunScript[SealVerdict]:
    return RunScript(SEAL, [encode(request)], parse=SealVerdict, idempotent=True)
