"""Plans that cancel changes which have not been sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from producers.contract import attempt_history, ids, keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.codec import (
    FUNCTION_BYTES,
    StoredChange,
    decode_change,
    encode_result,
    is_foreign,
)
from producers.contract.keyspace import Keyspace
from producers.contract.messages import JobResult, Outcome
from producers.contract.stored_values import number
from producers.contract.templates import change_of_template
from producers.queue.cancel_messages import CANCEL, CancelRequest, CancelRow, CancelVerdict
from producers.queue.jobs import beginning, locate, reject_foreign
from producers.queue.lanes import fetch_heads, template_entries
from producers.queue.slicing import slices
from producers.transport.commands import HMGET, MGET, TIME_US
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import encode
from producers.transport.scripts import Argument

CANCEL_BATCH_SIZE = 25
"""Changes that one run cancels: less than 5 ms of Redis, unless the system interrupts it."""

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

    @classmethod
    def merged(cls, parts: Sequence[CancelReport]) -> CancelReport:
        """Return the report on all that several reports are on."""
        return cls(
            sum(part.cancelled for part in parts),
            sum(part.in_flight for part in parts),
            sum(part.malformed for part in parts),
        )


def cancel_jobs(keys: Keyspace, job_ids: Sequence[str], *, result_ttl_ms: int) -> Plan[list[Cancellation]]:
    """Cancel changes, except those in flight; return the result for each, in the given order.

    Args:
        keys: the names of keys.
        job_ids: the changes; those of a batch with either mark.
        result_ttl_ms: how long the results of the cancelled ones are kept.
    """
    found = yield from _cancel(keys, job_ids, result_ttl_ms)
    missing = [job_id for job_id, cancellation in found.items() if cancellation is Cancellation.NOT_FOUND]
    others = {job_id: other for job_id in missing if (other := ids.other_form(job_id)) is not None}
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


@dataclass(frozen=True, slots=True)
class _Queued:
    """A change that is stored, and where."""

    stored: StoredChange
    lane: str
    entries: list[str]
    template_of: str | None = None


def _cancel(keys: Keyspace, job_ids: Sequence[str], result_ttl_ms: int) -> Plan[dict[str, Cancellation]]:
    found: dict[str, Cancellation] = {}
    left = list(dict.fromkeys(job_ids))
    rounds = 0
    while left and rounds < MAX_CANCEL_ROUNDS:
        before = len(found)
        for some in slices(left, CANCEL_BATCH_SIZE):
            found |= yield from _cancel_once(keys, some, result_ttl_ms)
        left = [job_id for job_id in left if job_id not in found]
        rounds += len(found) == before  # those not found were attempted meanwhile, or not reached by a long search
    return dict.fromkeys(job_ids, Cancellation.IN_FLIGHT) | found


def _cancel_once(keys: Keyspace, job_ids: Sequence[str], result_ttl_ms: int) -> Plan[dict[str, Cancellation]]:
    """Cancel changes. Return the results, except of those that must be tried again."""
    payloads = yield from MGET(*(keys.job + job_id for job_id in job_ids))
    found: dict[str, Cancellation] = {}
    queued: dict[str, _Queued] = {}
    absent: list[str] = []
    for job_id, payload in zip(job_ids, payloads, strict=True):
        if not payload or is_foreign(payload):
            absent.append(job_id)
        elif (located := locate(payload, job_id)) is None:
            found[job_id] = Cancellation.IN_FLIGHT
        else:
            queued[job_id] = _Queued(decode_change(payload), *located)
    queued |= yield from _find_templates(keys, absent)
    ended = [job_id for job_id in absent if job_id not in queued]
    if queued:
        found |= yield from _run_cancel(keys, queued, result_ttl_ms)
    missing = [job_id for job_id, result in found.items() if result is Cancellation.ENDED]
    found |= yield from _look_up_results(keys, [*ended, *missing])
    return found


def _find_templates(keys: Keyspace, job_ids: Sequence[str]) -> Plan[dict[str, _Queued]]:
    """Return those changes that may be of the templates of their batches."""
    batches: dict[str, list[str]] = {}
    for job_id in job_ids:
        batch_id = ids.batch_id_of(job_id)
        if batch_id is not None and job_id.startswith(batch_id + ids.BATCH_MARK):
            batches.setdefault(batch_id, []).append(job_id)
    found: dict[str, _Queued] = {}
    for batch_id, members in batches.items():
        template, runs = yield from HMGET(keys.batch + batch_id, "template", "runs")
        if template is None:
            continue
        terms = [tuple(map(int, run.split(b","))) for run in (runs or b"").split()]
        for job_id in members:
            user_id = job_id.removeprefix(batch_id + ids.BATCH_MARK)
            stored = change_of_template(template, user_id, *terms[0])
            lane = keyspace.lane(user_id, stored.a[0].trader_id)
            entries = template_entries(job_id, len(terms))
            found[job_id] = _Queued(stored, lane, entries, template_of=batch_id)
    return found


def _run_cancel(keys: Keyspace, queued: dict[str, _Queued], result_ttl_ms: int) -> Plan[dict[str, Cancellation]]:
    heads = yield from fetch_heads(keys, [change.lane for change in queued.values()])
    attempts = [HMGET(keys.attempts + change.lane, "history", "lost_deliveries") for change in queued.values()]
    now_us, replies = yield from Transaction(TIME_US(), Transaction(*attempts))
    further: list[Argument] = []
    rows = []
    for (job_id, change), head, (history, lost_deliveries) in zip(queued.items(), heads, replies, strict=True):
        is_head = head is not None and head.job_id == job_id
        may_have_been_sent = is_head and (number(lost_deliveries) or 0) > 0
        past = attempt_history.decode_for_job(history, job_id, is_head=is_head)
        result = _cancelled_result(job_id, change, past, now_us // 1000, may_have_been_sent=may_have_been_sent)
        history_number = 0
        if is_head and history:
            further.append(history)
            history_number = len(further)
        further.append(encode_result(result))
        rows.append(CancelRow(change.lane, job_id, change.entries, history_number, len(further)))
    request = CancelRequest(result_ttl_ms, rows)
    verdicts = yield from RunScript[list[int]](CANCEL, [encode(request), *further])
    return {
        job_id: Cancellation[CancelVerdict(verdict).name]
        for job_id, verdict in zip(queued, verdicts, strict=True)
        if verdict not in (CancelVerdict.HISTORY_CHANGED, CancelVerdict.NOT_REACHED)
    }


def _look_up_results(keys: Keyspace, job_ids: Sequence[str]) -> Plan[dict[str, Cancellation]]:
    """Return whether changes that are not queued have finished or are unknown."""
    if not job_ids:
        return {}
    results = yield from Transaction(*[beginning(keys.result + job_id) for job_id in job_ids])
    outcomes = [Cancellation.ENDED if FUNCTION_BYTES in stored else Cancellation.NOT_FOUND for stored in results]
    return dict(zip(job_ids, outcomes, strict=True))


def _cancelled_result(
    job_id: str, change: _Queued, history: AttemptHistory, now_ms: int, *, may_have_been_sent: bool
) -> JobResult:
    """Return the result of a cancelled change; `may_have_been_sent` if a worker died while it held the change."""
    stored = change.stored
    when = "between two tries" if history.attempts else "before it was sent"
    if may_have_been_sent:
        when = "after a worker died while sending it: it may have been sent"
    is_template = change.template_of is not None
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
        settings=None if is_template else stored.a[0].settings,
        template_of=change.template_of,
        digest=stored.k.digest or None,
    )
