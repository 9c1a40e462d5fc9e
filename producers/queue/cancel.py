"""Plans that cancel changes which have not been sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from producers.contract import attempt_history, keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.codec import FUNCTION_BYTES, decode_change, encode_result, is_foreign
from producers.contract.keyspace import BUCKET_SUFFIX, Keyspace
from producers.contract.messages import JobResult, Outcome
from producers.contract.stored_values import number, read_each
from producers.queue.batch_ids import BATCH_IDS
from producers.queue.bucket import LATE
from producers.queue.finish import FINISH
from producers.queue.jobs import beginning, lane_of_payload, reject_foreign
from producers.queue.pauses import wake_lanes
from producers.queue.slicing import slices
from producers.transport.commands import HMGET, LINDEX, MGET, TIME_US, ZRANGEBYLEX
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.scripts import Argument, Script


class CancelVerdict(IntEnum):
    """What cancel.lua replies for a change. HISTORY_CHANGED: the head was attempted after it was read."""

    CANCELLED = 1
    ENDED = 0
    IN_FLIGHT = -1
    HISTORY_CHANGED = -2


CANCEL = Script.load(
    "producers.queue",
    "cancel.lua",
    parts=[BATCH_IDS, FINISH],
    constants={"BUCKET_SUFFIX": BUCKET_SUFFIX, "LATE": LATE, "VERDICT": CancelVerdict},
    runs_when_full=True,
)

CANCEL_BATCH_SIZE = 200
MAX_CANCEL_ROUNDS = 5
"""How often a head is read, if it is attempted each time before it can be cancelled."""


class Cancellation(StrEnum):
    """The result of cancelling a change."""

    CANCELLED = "cancelled"
    IN_FLIGHT = "in_flight"
    """It is being sent, so it was not cancelled; or it is malformed, and finishes `rejected` when it is claimed."""
    ENDED = "ended"
    NOT_FOUND = "not_found"
    """It was never accepted, or its result has expired."""


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The result of cancelling many changes.

    Attributes:
        cancelled: how many this call cancelled.
        in_flight: how many were not cancelled, because they are being sent.
        malformed: how many stored IDs were left out, because they cannot be read.
    """

    cancelled: int
    in_flight: int
    malformed: int = 0


def cancel_jobs(keys: Keyspace, job_ids: Sequence[str], *, result_ttl_ms: int) -> Plan[list[Cancellation]]:
    """Cancel changes, except those in flight; return the result for each, in the given order.

    Args:
        keys: the names of keys.
        job_ids: the changes; those of a batch with either mark.
        result_ttl_ms: how long the results of the cancelled ones are kept.
    """
    found = yield from _cancel(keys, job_ids, result_ttl_ms)
    missing = [job_id for job_id, cancellation in found.items() if cancellation is Cancellation.NOT_FOUND]
    others = {job_id: other for job_id in missing if (other := keyspace.other_form(job_id)) is not None}
    if others:
        found_others = yield from _cancel(keys, list(others.values()), result_ttl_ms)
        found |= {job_id: found_others[other] for job_id, other in others.items()}
    return [found[job_id] for job_id in job_ids]


def cancel_job(keys: Keyspace, job_id: str, *, result_ttl_ms: int) -> Plan[Cancellation]:
    """Cancel one change, as `cancel_jobs`.

    Raises:
        JobNotFound: another arq app has a job of its ID.
    """
    (cancellation,) = yield from cancel_jobs(keys, [job_id], result_ttl_ms=result_ttl_ms)
    if cancellation is Cancellation.NOT_FOUND:
        yield from reject_foreign(keys, job_id)
    return cancellation


def _cancel(keys: Keyspace, job_ids: Sequence[str], result_ttl_ms: int) -> Plan[dict[str, Cancellation]]:
    found: dict[str, Cancellation] = {}
    shortened: set[str] = set()
    for _ in range(MAX_CANCEL_ROUNDS):
        for some in slices([job_id for job_id in dict.fromkeys(job_ids) if job_id not in found], CANCEL_BATCH_SIZE):
            cancellations, lanes = yield from _cancel_once(keys, some, result_ttl_ms)
            found |= cancellations
            shortened |= lanes
    yield from _reschedule_users(keys, shortened)
    return dict.fromkeys(job_ids, Cancellation.IN_FLIGHT) | found  # those not found were attempted in every round


def _cancel_once(
    keys: Keyspace, job_ids: Sequence[str], result_ttl_ms: int
) -> Plan[tuple[dict[str, Cancellation], set[str]]]:
    """Cancel changes. Return the results, except of heads attempted meanwhile; and the lanes that were shortened."""
    payloads = yield from MGET(*(keys.job + job_id for job_id in job_ids))
    stored = {job_id: payload for job_id, payload in zip(job_ids, payloads, strict=True) if payload}
    stored = {job_id: payload for job_id, payload in stored.items() if not is_foreign(payload)}
    queued = {job_id: lane for job_id, payload in stored.items() if (lane := lane_of_payload(payload)) is not None}
    found = dict.fromkeys(stored.keys() - queued.keys(), Cancellation.IN_FLIGHT)
    found |= yield from _look_up_results(keys, [job_id for job_id in job_ids if job_id not in stored])
    if not queued:
        return found, set()
    heads = [
        Transaction(LINDEX(keys.lane + lane, 0), HMGET(keys.head + lane, "state", "lapses")) for lane in queued.values()
    ]
    now_us, replies = yield from Transaction(TIME_US(), Transaction(*heads))
    args: list[Argument] = [result_ttl_ms]
    for (job_id, lane), (head_id, (history, lost_deliveries)) in zip(queued.items(), replies, strict=True):
        is_head = head_id == job_id.encode()
        may_have_been_sent = is_head and (number(lost_deliveries) or 0) > 0
        past = attempt_history.decode(history)
        past = past.for_job(job_id) if past.head or is_head else AttemptHistory()
        result = _cancelled_result(job_id, stored[job_id], past, now_us // 1000, may_have_been_sent=may_have_been_sent)
        args += (lane, job_id, (history or b"") if is_head else b"", encode_result(result))
    verdicts = yield from RunScript[list[int]](CANCEL, args)
    found |= {
        job_id: Cancellation[CancelVerdict(verdict).name]
        for job_id, verdict in zip(queued, verdicts, strict=True)
        if verdict != CancelVerdict.HISTORY_CHANGED
    }
    return found, {lane for job_id, lane in queued.items() if found.get(job_id) is Cancellation.CANCELLED}


def _look_up_results(keys: Keyspace, job_ids: Sequence[str]) -> Plan[dict[str, Cancellation]]:
    """Return whether changes that are not queued have finished or are unknown."""
    if not job_ids:
        return {}
    results = yield from Transaction(*[beginning(keys.result + job_id) for job_id in job_ids])
    outcomes = [Cancellation.ENDED if FUNCTION_BYTES in stored else Cancellation.NOT_FOUND for stored in results]
    return dict(zip(job_ids, outcomes, strict=True))


def _reschedule_users(keys: Keyspace, lanes: Iterable[str]) -> Plan[None]:
    """Reschedule the users' remaining lanes: the cancelled changes' reserved slots are free again."""
    users = sorted({keyspace.user_and_trader(lane)[0] for lane in lanes})
    for some in slices(users, CANCEL_BATCH_SIZE):
        remaining = yield from Transaction(*[ZRANGEBYLEX(keys.lanes, *keyspace.lane_range(user)) for user in some])
        yield from wake_lanes(read_each([lane for user_lanes in remaining for lane in user_lanes], bytes.decode))


def _cancelled_result(
    job_id: str, payload: bytes, history: AttemptHistory, now_ms: int, *, may_have_been_sent: bool
) -> JobResult:
    """Return the result of a cancelled change; `may_have_been_sent` if a worker died while it held the change."""
    stored = decode_change(payload)
    when = "between two tries" if history.attempts else "before it was sent"
    if may_have_been_sent:
        when = "after a worker died while sending it: it may have been sent"
    return JobResult(
        job_id=job_id,
        user_id=stored.a[0].user_id,
        trader_id=stored.a[0].trader_id,
        outcome=Outcome.CANCELLED,
        message=f"cancelled {when}",
        attempts=history.attempts,
        tries=history.tries,
        enqueued_at_ms=stored.et,
        started_at_ms=history.first_sent_at_ms,
        finished_at_ms=now_ms,
    )
