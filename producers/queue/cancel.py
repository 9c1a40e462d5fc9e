"""Plans that cancel changes which have not been sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from producers.contract import attempt_history, keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.codec import decode_change, encode_result
from producers.contract.messages import JobResult, Outcome
from producers.queue.bucket import BUCKET_KEYS
from producers.queue.finish import FINISH
from producers.queue.jobs import lane_of_payload
from producers.queue.pauses import wake_lanes
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.scripts import Argument, Script


class CancelVerdict(IntEnum):
    """What cancel.lua replies for a change."""

    CANCELLED = 1
    NOT_QUEUED = 0
    IN_FLIGHT = -1
    HISTORY_CHANGED = -2


CANCEL = Script.load(
    "producers.queue",
    "cancel.lua",
    parts=[FINISH],
    constants={"LANE_PREFIX": keyspace.LANE, "HEAD_PREFIX": keyspace.HEAD, **BUCKET_KEYS, "VERDICT": CancelVerdict},
)

CANCEL_BATCH_SIZE = 200
MAX_CANCEL_ROUNDS = 5
"""A head may be attempted between being looked at and being taken back; it is looked at again this often."""


class Cancellation(StrEnum):
    """What became of taking a change back."""

    CANCELLED = "cancelled"
    IN_FLIGHT = "in_flight"
    """It is being sent, and will end by its reply. Or it cannot be read, and will end `rejected` in its turn."""
    ENDED = "ended"
    NOT_FOUND = "not_found"
    """It never was, or its result has expired."""


@dataclass(frozen=True, slots=True)
class CancelReport:
    """What became of taking many changes back.

    Attributes:
        cancelled: how many ended `cancelled` by it.
        in_flight: how many are being sent, and will end by their replies.
    """

    cancelled: int
    in_flight: int


def cancel_jobs(job_ids: Sequence[str], *, result_ttl_ms: int) -> Plan[list[Cancellation]]:
    """Takes changes back; those in flight end by their replies.

    Args:
        job_ids: which.
        result_ttl_ms: how long their results are kept.
    """
    found: dict[str, Cancellation] = {}
    lanes: set[str] = set()
    waiting = list(dict.fromkeys(job_ids))
    for _ in range(MAX_CANCEL_ROUNDS):
        again = []
        for some in batched(waiting, CANCEL_BATCH_SIZE):
            again += yield from _cancel_some(some, found, lanes, result_ttl_ms)
        waiting = again
    yield from _reschedule_users(lanes)
    found |= dict.fromkeys(waiting, Cancellation.IN_FLIGHT)  # attempted, back, attempted: as often as it was looked at
    return [found[job_id] for job_id in job_ids]


def _cancel_some(
    job_ids: Sequence[str], found: dict[str, Cancellation], emptier: set[str], result_ttl_ms: int
) -> Plan[list[str]]:
    """Returns those whose state changed meanwhile; adds the lanes that something was taken from."""
    payloads = (yield Transaction([("MGET", *(keyspace.JOB + job_id for job_id in job_ids))]))[0]
    lanes = {job_id: lane_of_payload(payload) for job_id, payload in zip(job_ids, payloads, strict=True) if payload}
    queued = {job_id: lane for job_id, lane in lanes.items() if lane is not None}
    found |= dict.fromkeys(lanes.keys() - queued.keys(), Cancellation.IN_FLIGHT)
    yield from _look_for_others([job_id for job_id in job_ids if job_id not in lanes], found)
    if not queued:
        return []
    args: list[Argument] = [
        result_ttl_ms,
    ]
    heads = [
        (("LINDEX", keyspace.LANE + lane, 0), ("HMGET", keyspace.HEAD + lane, "state", "lapses"))
        for lane in queued.values()
    ]
    *looked, time = yield Transaction([*(command for pair in heads for command in pair), ("TIME",)])
    now_ms = time[0] * 1000 + time[1] // 1000
    by_id = dict(zip(job_ids, payloads, strict=True))
    for number, (job_id, lane) in enumerate(queued.items()):
        first, (state, lapses) = looked[2 * number : 2 * number + 2]
        is_head = first == job_id.encode()
        result = _cancelled(
            job_id, by_id[job_id], state, now_ms, is_head=is_head, lapsed=is_head and int(lapses or 0) > 0
        )
        args += (lane, job_id, (state or b"") if is_head else b"", encode_result(result))
    verdicts = yield RunScript(
        CANCEL, [keyspace.SCHEDULE, keyspace.BULK_SCHEDULE, keyspace.LANES, keyspace.WAKEUPS], args
    )
    again = []
    for job_id, verdict in zip(queued, verdicts, strict=True):
        if verdict == CancelVerdict.HISTORY_CHANGED:
            again.append(job_id)
        else:
            found[job_id] = _CANCELLATIONS[verdict]
    emptier |= {lane for job_id, lane in queued.items() if found.get(job_id) is Cancellation.CANCELLED}
    return again


def _reschedule_users(lanes: Iterable[str]) -> Plan[None]:
    """What remains of the users takes its turns anew, for those promised to what was taken back are free."""
    users = sorted({keyspace.user_and_trader(lane)[0] for lane in lanes})
    for some in batched(users, CANCEL_BATCH_SIZE):
        left = yield Transaction([("ZRANGEBYLEX", keyspace.LANES, *keyspace.lane_range(user)) for user in some])
        yield from wake_lanes([lane.decode() for found in left for lane in found])


def _look_for_others(job_ids: Sequence[str], found: dict[str, Cancellation]) -> Plan[None]:
    """What is not queued has ended, or never was."""
    if not job_ids:
        return
    ended = yield Transaction([("EXISTS", keyspace.RESULT + job_id) for job_id in job_ids])
    for job_id, has_result in zip(job_ids, ended, strict=True):
        found[job_id] = Cancellation.ENDED if has_result else Cancellation.NOT_FOUND


_CANCELLATIONS: dict[int, Cancellation] = {
    CancelVerdict.CANCELLED: Cancellation.CANCELLED,
    CancelVerdict.NOT_QUEUED: Cancellation.ENDED,
    CancelVerdict.IN_FLIGHT: Cancellation.IN_FLIGHT,
}


def _cancelled(
    job_id: str, payload: bytes, state: bytes | None, now_ms: int, *, is_head: bool, lapsed: bool
) -> JobResult:
    """The result of a change that was taken back, with what was tried before."""
    stored = decode_change(payload)
    remembered = attempt_history.decode(state)
    history = remembered.for_job(job_id) if remembered.head or is_head else AttemptHistory()
    when = "between two tries" if history.attempts else "before it was sent"
    if lapsed:
        when = "after a worker died with it in hand: it may have been sent"
    return JobResult(
        job_id=job_id,
        user_id=stored.a[0].user_id,
        trader_id=stored.a[0].trader_id,
        outcome=Outcome.CANCELLED,
        message=f"taken back {when}",
        attempts=history.attempts,
        tries=history.tries,
        enqueued_at_ms=stored.et,
        started_at_ms=history.first_sent_at_ms,
        finished_at_ms=now_ms,
    )


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in runs of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))
