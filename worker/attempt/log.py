"""The log lines of attempts: one for each change that ends or waits again, and one if the breaker changes."""

from __future__ import annotations

import logging

from producers.contract.ids import batch_id_of
from producers.contract.keyspace import user_and_trader
from producers.contract.messages import JobResult, Outcome
from producers.logs import Field
from producers.queue.breaker import BreakerEvent
from worker.logs import Event, log_fields
from worker.queue.claims import Claim, Finish, Requeue, SentRequest, Settled, Settlement

BREAKER_LINES = {
    BreakerEvent.OPENED: (
        Event.BREAKER_OPENED,
        "the requests of many users in a row failed alike: only one probe at a time is sent from now on",
    ),
    BreakerEvent.CLOSED: (Event.BREAKER_CLOSED, "the probe had a good reply: all changes are sent again"),
    BreakerEvent.EGRESS_HELD: (
        Event.EGRESS_HELD,
        "many users in a row were throttled: nothing but one probe is sent after each pause, of users that were not",
    ),
}

UNREMARKABLE = (Outcome.APPLIED, Outcome.SUPERSEDED)
"""Outcomes that nobody has to look at."""

log = logging.getLogger(__name__)


def log_sending(claim: Claim, egress: str) -> None:
    """Log that a request is being sent: the only line of an attempt whose worker dies."""
    if log.isEnabledFor(logging.DEBUG):
        extra = log_fields(Event.SENDING, **_about(claim, claim.job_id), egress=egress)
        log.debug("lane %s: %s is being sent", claim.lane, claim.job_id, extra=extra)


def log_proxy_failure(message: str, egress: str) -> None:
    """Log that the egress's proxy made no connection. Its breaker opens soon, which bounds these lines."""
    log.warning("egress %s: %s", egress, message, extra=log_fields(Event.PROXY_FAILED, egress=egress))


def log_attempt(settlement: Settlement, settled: Settled, egress: str) -> None:
    """Log the end of an attempt.

    Args:
        settlement: The settlement that the attempt asked for.
        settled: What the settle script did.
        egress: The worker's egress.
    """
    claim, request = settlement.claim, settlement.request
    if settled.breaker is not BreakerEvent.NONE:
        event, what = BREAKER_LINES[settled.breaker]
        extra = log_fields(event, egress=egress, failure_kind=request.failure_kind if request else None)
        log.warning("egress %s: %s; the last reply: %s", egress, what, request, extra=extra)
    if isinstance(settlement, Finish) and settled.finished and not settled.fenced:
        for result in settlement.results:
            _log_result(claim, request, result)
        return
    lane, job = claim.lane, claim.job_id
    fields = _about(claim, job) | _reply_of(request)
    if settled.fenced and settled.is_repeated:
        extra = log_fields(Event.SETTLED_BEFORE, **fields)
        log.info(
            "lane %s: the settlement of %s was repeated, and Redis had it, or the lane was lost", lane, job, extra=extra
        )
        return
    if settled.fenced:
        extra = log_fields(Event.FENCED, **fields)
        log.warning("lane %s: lost with its session; the settlement of %s was fenced", lane, job, extra=extra)
        return
    again_in_s = settled.again_in_s
    blamed = f"{request}, like the requests of many other users"  # the script requeued it: the egress is at fault
    reason = settlement.reason if isinstance(settlement, Requeue) else blamed
    extra = log_fields(Event.REQUEUED, **fields | {"again_in_ms": round(again_in_s * 1000)})
    log.info("lane %s: %s; %s again in %.3f s", lane, reason, job, again_in_s, extra=extra)


def _log_result(claim: Claim, request: SentRequest | None, result: JobResult) -> None:
    # The request whose keys were rejected was logged as a warning; the changes that end unsent after it are not.
    is_expected = request is None and (claim.rejected_keys_mark or result.outcome is Outcome.CANCELLED)
    level = logging.DEBUG if is_expected or result.outcome in UNREMARKABLE else logging.WARNING
    if not log.isEnabledFor(level):
        return  # the most frequent case: skip building its fields
    fields = _about(claim, result.job_id) | _reply_of(request)
    extra = log_fields(Event.FINISHED, **fields | {"outcome": result.outcome.value, "tries": result.tries})
    reason = f"{result.code} {result.message}" if result.code else result.message
    log.log(level, "lane %s: %s ended %s: %s", claim.lane, result.job_id, result.outcome, reason, extra=extra)


def _about(claim: Claim, job_id: str) -> dict[str, Field]:
    """Return the fields that say which change a line is about."""
    behind = [other_id for other_id, _ in claim.coalescable] if job_id == claim.job_id else []
    return {
        "lane": claim.lane,
        "user": user_and_trader(claim.lane)[0],
        "job": job_id,
        "batch": batch_id_of(job_id),
        "claimed_with": " ".join(behind) or None,
        "lost_deliveries": claim.lost_deliveries or None,
    }


def _reply_of(request: SentRequest | None) -> dict[str, Field]:
    """Return the fields that say what the exchange replied."""
    if request is None:
        return {}
    reply = request.attempt
    return {"verdict": reply.verdict, "code": reply.code, "took_ms": reply.took_ms}
