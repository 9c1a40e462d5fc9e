"""From what happened to what is settled. No I/O: claims, changes and verdicts in, settlements out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from producers.contract import attempt_history, keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.codec import MAX_PAYLOAD_BYTES, StoredChange, decode_change
from producers.contract.messages import Attempt, JobResult, Outcome, SettingsChange
from producers.contract.validation import check
from producers.errors import InvalidChange, MalformedChange
from worker.attempt.coalesce import CoalescedChange, Group, coalesce
from worker.attempt.failures import FAILING, classify_failure, next_mark, rejected_code
from worker.attempt.retry import Decision, Done, Hold, Retry, next_step
from worker.queue.claims import Claim, EgressHealth, Settlement

MAX_LOST_DELIVERIES = 5
"""A head that so many workers in a row lost with their lease is taken for what kills them."""


@dataclass(frozen=True, slots=True)
class ReadyAttempt:
    """A claim whose change may be sent.

    Attributes:
        claim: the claim.
        head: its change.
        group: what is sent: the head, and those that join it.
        state: the head's history.
    """

    claim: Claim
    head: CoalescedChange
    group: Group
    state: AttemptHistory


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that was made.

    Attributes:
        attempt: what is told of it.
        ended_s: when its reply or failure came, monotonic clock.
        round_trip_s: from its writing to its reply; None if there was no reply.
        fingerprint: of the keys that signed it.
        keys_replaced: whether the user has others by now.
    """

    attempt: Attempt
    ended_s: float
    round_trip_s: float | None
    fingerprint: str = ""
    keys_replaced: bool = False


def validate_claim(claim: Claim, now_ms: int) -> ReadyAttempt | Settlement:
    """Whether a claim's change may be sent; else how it ends.

    Args:
        claim: the claim.
        now_ms: Unix milliseconds, Redis's clock.
    """
    state = attempt_history.decode(claim.state).for_job(claim.job_id)
    try:
        stored = _read(claim)
    except MalformedChange as exc:
        return _reject(claim, exc, now_ms)
    change = stored.a[0]
    try:
        check(change)
        _check_lane(change, claim)
    except (InvalidChange, MalformedChange) as exc:
        return _reject(claim, exc, now_ms, user_id=change.user_id, trader_id=change.trader_id)
    member = CoalescedChange(claim.job_id, stored)
    ready = ReadyAttempt(claim, member, coalesce(member, claim.coalescable, now_ms), state)
    if claim.lost_deliveries >= MAX_LOST_DELIVERIES:
        message = f"poison: {claim.lost_deliveries} workers in a row lost this change with their lease"
        return end(ready, Outcome.EXHAUSTED, now_ms, message)
    if now_ms >= member.deadline_ms:
        if state.first_sent_at_ms is None and not claim.lost_deliveries:
            return end(ready, Outcome.EXPIRED, now_ms, "its deadline passed before it was sent")
        return end(ready, Outcome.EXHAUSTED, now_ms, "its deadline passed without a verdict")
    return ready


def end(
    ready: ReadyAttempt, outcome: Outcome, now_ms: int, message: str, sent: SentRequest | None = None
) -> Settlement:
    """The settlement that ends a head, alone."""
    result = _result(ready.head, outcome, ready.state, now_ms, message)
    if sent is None:
        return Settlement(ready.claim, result=result)
    left = attempt_history.encode(ready.state) if len(ready.group.members) > 1 else b""
    return Settlement(ready.claim, sent.ended_s, sent.round_trip_s, result=result, state=left)


def _end_group(ready: ReadyAttempt, outcome: Outcome, now_ms: int, message: str, sent: SentRequest) -> Settlement:
    """The settlement that ends a head and all that were sent with it: the shared reply is each one's own."""
    results = []
    for member in ready.group.members:
        if member.successor is not None and not ready.state.was_sent(member.job_id):
            replaced = f"replaced before it was sent, by {member.successor}"
            results.append(_result(member, Outcome.SUPERSEDED, AttemptHistory(), now_ms, replaced))
        else:
            results.append(_result(member, outcome, _shared(member, ready.state), now_ms, message))
    return Settlement(ready.claim, sent.ended_s, sent.round_trip_s, result=results[0], joined=tuple(results[1:]))


def _shared(member: CoalescedChange, state: AttemptHistory) -> AttemptHistory:
    """What a member shares of the head's history: what carried it, and the last request, whose reply is its own."""
    own = state.for_job(member.job_id)
    last = state.attempts[-1]
    return own if last in own.attempts else own.with_attempt(last)


def _result(member: CoalescedChange, outcome: Outcome, state: AttemptHistory, now_ms: int, message: str) -> JobResult:
    change = member.stored.a[0]
    last = state.attempts[-1] if state.attempts else None
    return JobResult(
        job_id=member.job_id,
        user_id=change.user_id,
        trader_id=change.trader_id,
        outcome=outcome,
        code=None if last is None else last.code,
        message=message,
        attempts=state.attempts,
        tries=state.tries,
        enqueued_at_ms=member.stored.et,
        started_at_ms=state.first_sent_at_ms,
        finished_at_ms=now_ms,
        successor=member.successor,
    )


def blocked_by_rejected_keys(ready: ReadyAttempt, fingerprint: str, now_ms: int) -> Settlement | None:
    """How a change ends whose user's keys were refused before; None if it may be sent.

    Args:
        ready: the change.
        fingerprint: of the keys that the user has now.
        now_ms: Unix milliseconds, Redis's clock.
    """
    code = rejected_code(ready.claim.rejected_keys_mark, fingerprint)
    if code is None:
        return None
    message = f"not sent: the exchange refused this user's keys (code {code}); replace them, or resume the user"
    return end(ready, Outcome.UNAUTHORIZED, now_ms, message)


def release_unsent(claim: Claim, *, delay_s: float = 0.0, reason: str = "given back unsent") -> Settlement:
    """The settlement of a claim that was not sent after all: its history stays as it was."""
    state = claim.state or attempt_history.encode(AttemptHistory(head=claim.job_id))
    return Settlement(claim, delay_s=delay_s, state=state, reason=reason)


def decide(ready: ReadyAttempt, sent: SentRequest, *, now_ms: int, max_tries: int) -> Settlement:
    """What becomes of a change after a request.

    Args:
        ready: the change before the request.
        sent: the request.
        now_ms: Unix milliseconds, Redis's clock.
        max_tries: the last try; 0 for no bound but the deadline.
    """
    egress_health, members = ready.claim.egress_health, ready.group.members
    failure_kind = "" if sent.keys_replaced else classify_failure(sent.attempt)
    if failure_kind == FAILING and egress_health is not EgressHealth.HEALTHY:
        sent = replace(sent, attempt=msgspec.structs.replace(sent.attempt, outage=True))
    attempt = sent.attempt
    # Of a group that a worker died with, nobody knows what was sent.
    carried = [member.job_id for member in members if member.successor is None or ready.claim.lost_deliveries]
    state = ready.state.with_attempt(attempt, carried)
    after = replace(ready, state=state)
    decision = next_step(
        [each.verdict for each in state.attempts],
        tries=state.tries,
        remaining_s=(ready.head.deadline_ms - now_ms) / 1000,
        max_tries=max_tries,
        is_probe=egress_health is EgressHealth.PROBING,
        keys_replaced=sent.keys_replaced,
    )
    return replace(
        _settlement(after, sent, decision, now_ms),
        attempt=attempt,
        failure_kind=failure_kind,
        rejected_keys_mark=next_mark(failure_kind, ready.claim.rejected_keys_mark, sent.fingerprint, now_ms),
        requeue_history=attempt_history.encode(state) if decision == Done(Outcome.UNAUTHORIZED) else b"",
    )


def _settlement(after: ReadyAttempt, sent: SentRequest, decision: Decision, now_ms: int) -> Settlement:
    attempt, members = sent.attempt, after.group.members
    match decision:
        case Done(Outcome.REJECTED) if len(members) > 1:
            return _requeue(after, sent, 0.0, send_alone_until=members[-1].job_id)
        case Done(Outcome.EXHAUSTED):
            return end(after, Outcome.EXHAUSTED, now_ms, attempt.message or "", sent)
        case Done(outcome):
            return _end_group(after, outcome, now_ms, attempt.message or "", sent)
        case Retry(after_s):
            return _requeue(after, sent, after_s)
        case Hold(after_s):
            return _requeue(after, sent, after_s, hold_s=after_s)


def _requeue(
    after: ReadyAttempt, sent: SentRequest, after_s: float, *, hold_s: float = 0.0, send_alone_until: str = ""
) -> Settlement:
    """The settlement that puts a lane back with a later score."""
    back = Settlement(
        after.claim,
        sent.ended_s,
        sent.round_trip_s,
        delay_s=after_s,
        state=attempt_history.encode(after.state),
        hold_s=hold_s,
        send_alone_until=send_alone_until,
        attempt=sent.attempt,
    )
    return replace(back, reason=f"{back.reply}; sent one by one from here" if send_alone_until else back.reply)


def _read(claim: Claim) -> StoredChange:
    if claim.payload is None:
        raise MalformedChange(f"its payload is absent, not a string, or above {MAX_PAYLOAD_BYTES} bytes")
    return decode_change(claim.payload)


def _check_lane(change: SettingsChange, claim: Claim) -> None:
    if keyspace.lane(change.user_id, change.trader_id) != claim.lane:
        raise MalformedChange(f"the change belongs to another lane than {claim.lane!r}, where it was found")


def _reject(claim: Claim, why: Exception, now_ms: int, *, user_id: str = "", trader_id: str = "") -> Settlement:
    result = JobResult(
        job_id=claim.job_id,
        user_id=user_id,
        trader_id=trader_id,
        outcome=Outcome.REJECTED,
        message=f"not sent: {why}",
        finished_at_ms=now_ms,
    )
    return Settlement(claim, result=result)
