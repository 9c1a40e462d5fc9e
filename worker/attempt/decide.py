"""Decisions of an attempt: whether a claim may be sent, and how it is settled. No I/O.

A request counts as a try unless it was throttled (429) or made during an outage: `Attempt.is_try`, by which
`AttemptHistory.with_attempt` counts.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from producers.contract import attempt_history, keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.messages import JobResult, Outcome, SettingsChange
from producers.contract.validation import check_change
from producers.errors import InvalidChange, MalformedChange
from producers.queue.breaker import FAILING
from worker.attempt.coalesce import CoalescedChange, CoalescedRequest, coalesce
from worker.attempt.failures import classify_failure, next_mark, rejected_code
from worker.attempt.retry import Done, Hold, Retry, next_step
from worker.queue.claims import Claim, EgressHealth, Finish, Requeue, SentRequest, Settlement

MAX_LOST_DELIVERIES = 5
"""Lost deliveries after which a head ends as exhausted, since it probably kills its workers (poison)."""


class ReadyAttempt(msgspec.Struct, frozen=True):
    """A claim whose change may be sent.

    Attributes:
        claim: The claim.
        head: Its change.
        request: What is sent: the head, and the changes that are sent with it.
        history: The head's history.
    """

    claim: Claim
    head: CoalescedChange
    request: CoalescedRequest
    history: AttemptHistory


def validate_claim(claim: Claim, now_ms: int) -> ReadyAttempt | Finish:
    """Return the attempt if the claim's change may be sent, else the settlement that ends the change.

    Args:
        claim: The claim.
        now_ms: Unix milliseconds, Redis's clock.
    """
    user_id = trader_id = ""
    try:
        head = CoalescedChange.from_stored(claim.job_id, claim.stored, claim.lane)
        change = head.stored.a[0]
        user_id, trader_id = change.user_id, change.trader_id
        check_change(change)
        _check_lane(change, claim)
    except (InvalidChange, MalformedChange) as exc:
        rejection = JobResult(
            job_id=claim.job_id,
            user_id=user_id,
            trader_id=trader_id,
            outcome=Outcome.REJECTED,
            message=why_unsent(claim, f"not sent: {exc}"),
            finished_at_ms=now_ms,
        )
        return Finish(claim=claim, results=(rejection,))
    history = attempt_history.decode(claim.history).for_job(claim.job_id)
    ready = ReadyAttempt(claim, head, coalesce(head, claim.coalescable, now_ms), history)
    if claim.lost_deliveries >= MAX_LOST_DELIVERIES:
        message = f"poison: {claim.lost_deliveries} workers in a row died while they had this change"
        return finish_unsent(ready, Outcome.EXHAUSTED, message, now_ms)
    if claim.is_cancelled:
        return finish_unsent(ready, Outcome.CANCELLED, why_unsent(claim, "its batch was cancelled"), now_ms)
    if now_ms >= head.deadline_ms:
        was_sent = history.first_sent_at_ms is not None or claim.lost_deliveries > 0
        return finish_unsent(ready, *_after_deadline(was_sent=was_sent), now_ms)
    return ready


def blocked_by_rejected_keys(ready: ReadyAttempt, fingerprint: str, now_ms: int) -> Finish | None:
    """Return the settlement that ends a change as unauthorized if these keys were rejected before, else None.

    Args:
        ready: The change.
        fingerprint: Fingerprint of the user's current keys.
        now_ms: Unix milliseconds, Redis's clock.
    """
    code = rejected_code(ready.claim.rejected_keys_mark, fingerprint)
    if code is None:
        return None
    message = f"not sent: the exchange rejected this user's keys (code {code}); replace them, or resume the user"
    return finish_unsent(ready, Outcome.UNAUTHORIZED, why_unsent(ready.claim, message), now_ms)


def finish_unsent(ready: ReadyAttempt, outcome: Outcome, message: str, now_ms: int) -> Finish:
    """Return the settlement that ends a head without a request."""
    return Finish(claim=ready.claim, results=(_result(ready.head, outcome, ready.history, now_ms, message),))


def why_unsent(claim: Claim, reason: str) -> str:
    """Return why a change ends without a request; with a warning if a worker died, whose request no history has."""
    if not claim.lost_deliveries:
        return reason
    return f"{reason}; but a worker died while sending this change, which may have been applied"


def _after_deadline(*, was_sent: bool) -> tuple[Outcome, str]:
    """Return the outcome of a change whose deadline has passed, and why."""
    if was_sent:
        return Outcome.EXHAUSTED, "its deadline passed without a verdict"
    return Outcome.EXPIRED, "its deadline passed before it was sent"


def release_unsent(
    claim: Claim, *, delay_s: float = 0.0, reason: str = "released unsent", waits_for: str = ""
) -> Requeue:
    """Return the settlement that requeues a claim without a request; the history does not change."""
    history = claim.history or attempt_history.encode(AttemptHistory(head=claim.job_id))
    return Requeue(claim=claim, history=history, reason=reason, delay_s=delay_s, waits_for=waits_for)


def decide(ready: ReadyAttempt, sent: SentRequest, *, now_ms: int, max_tries: int) -> Settlement:
    """Return the settlement after a request: it ends the change or requeues its lane.

    Args:
        ready: The change before the request.
        sent: The request.
        now_ms: Unix milliseconds, Redis's clock.
        max_tries: Tries after which a change ends as exhausted; 0 for no limit but its deadline.
    """
    claim, members, attempt = ready.claim, ready.request.members, sent.attempt
    failure_kind = classify_failure(attempt)
    if failure_kind == FAILING and (sent.is_egress_fault or claim.egress_health is not EgressHealth.HEALTHY):
        attempt = msgspec.structs.replace(attempt, outage=True)
    # After a lost delivery it is unknown which changes were sent, so the superseded ones count as sent too.
    included = [
        member.job_id
        for member in members
        if not member.has_expired and (not member.successor or claim.lost_deliveries)
    ]
    after = msgspec.structs.replace(ready, history=ready.history.with_attempt(attempt, included))
    mark = None if sent.keys_replaced else next_mark(failure_kind, claim.rejected_keys_mark, sent.fingerprint, now_ms)
    sent = msgspec.structs.replace(sent, attempt=attempt, failure_kind=failure_kind, rejected_keys_mark=mark)
    step = next_step(
        [each.verdict for each in after.history.attempts],
        tries=after.history.tries,
        remaining_s=(ready.head.deadline_ms - now_ms) / 1000,
        max_tries=max_tries,
        is_probe=claim.egress_health is EgressHealth.PROBING,
        keys_replaced=sent.keys_replaced,
        retry_after_s=sent.retry_after_s,
    )
    match step:
        case Done(Outcome.REJECTED) if not ready.request.is_alone:
            return _requeue(after, sent, 0.0, one_by_one=True)
        case Done(Outcome.EXHAUSTED):
            return _finish_head(after, sent, now_ms)
        case Done(outcome):
            return _finish_all(after, sent, outcome, now_ms)
        case Retry(delay_s):
            return _requeue(after, sent, delay_s)
        case Hold(hold_s):
            return _requeue(after, sent, hold_s, hold_s=hold_s)
        case _:
            assert_never(step)


def _finish_head(after: ReadyAttempt, sent: SentRequest, now_ms: int) -> Finish:
    """Return the settlement that ends only the head, as exhausted. The changes sent with it keep its history."""
    result = _result(after.head, Outcome.EXHAUSTED, after.history, now_ms, sent.attempt.message or "")
    history = attempt_history.encode(after.history) if len(after.request.members) > 1 else None
    return Finish(claim=after.claim, results=(result,), request=sent, history=history)


def _finish_all(after: ReadyAttempt, sent: SentRequest, outcome: Outcome, now_ms: int) -> Finish:
    """Return the settlement that ends the head and all changes sent with it, which share its reply."""
    results = []
    for member in after.request.members:
        if member.has_expired:
            own = after.history.for_job(member.job_id)
            was_sent = bool(own.attempts) or after.claim.lost_deliveries > 0
            ended, message = _after_deadline(was_sent=was_sent)
            results.append(_result(member, ended, own, now_ms, message))
        elif member.successor is not None and not after.history.was_sent(member.job_id):
            message = f"replaced before it was sent, by {member.successor}"
            results.append(_result(member, Outcome.SUPERSEDED, AttemptHistory(), now_ms, message))
        else:
            history = _history_of(member, after.history)
            results.append(_result(member, outcome, history, now_ms, sent.attempt.message or ""))
    may_be_egress = outcome is Outcome.UNAUTHORIZED
    requeue_history = attempt_history.encode(after.history) if may_be_egress else None
    return Finish(claim=after.claim, results=tuple(results), request=sent, requeue_history=requeue_history)


def _history_of(member: CoalescedChange, history: AttemptHistory) -> AttemptHistory:
    """Return the attempts that included a member, and the last attempt in any case: its reply is the member's."""
    own = history.for_job(member.job_id)
    last = history.attempts[-1]
    return own if last in own.attempts else own.with_attempt(last)


def _result(member: CoalescedChange, outcome: Outcome, history: AttemptHistory, now_ms: int, message: str) -> JobResult:
    change = member.stored.a[0]
    return JobResult(
        job_id=member.job_id,
        user_id=change.user_id,
        trader_id=change.trader_id,
        outcome=outcome,
        code=history.attempts[-1].code if history.attempts else None,
        message=message,
        attempts=history.attempts,
        tries=history.tries,
        enqueued_at_ms=member.stored.et,
        started_at_ms=history.first_sent_at_ms,
        finished_at_ms=now_ms,
        successor=member.successor,
        settings=None if member.template_of else change.settings,
        template_of=member.template_of,
        digest=member.stored.k.digest or None,
    )


def _requeue(
    after: ReadyAttempt, sent: SentRequest, delay_s: float, *, hold_s: float = 0.0, one_by_one: bool = False
) -> Requeue:
    history = attempt_history.encode(after.history)
    reason = f"{sent}; sent one by one from here" if one_by_one else str(sent)
    requeue = Requeue(claim=after.claim, history=history, reason=reason, request=sent, delay_s=delay_s)
    return msgspec.structs.replace(requeue, hold_s=hold_s, one_by_one=one_by_one)


def _check_lane(change: SettingsChange, claim: Claim) -> None:
    if keyspace.lane(change.user_id, change.trader_id) != claim.lane:
        raise MalformedChange(f"the change belongs to another lane than {claim.lane!r}, where it was found")
