"""The log lines of attempts: at most one for each, and one if the breaker opens, closes or holds for longer."""

from __future__ import annotations

import logging

from producers.contract.keyspace import user_and_trader
from producers.contract.messages import Outcome
from producers.queue.breaker import BreakerEvent
from worker.logs import Event, log_fields
from worker.queue.claims import Finish, Requeue, Settled, Settlement

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

log = logging.getLogger(__name__)


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
    result = settlement.results[0] if isinstance(settlement, Finish) else None
    is_applied = result is not None and result.outcome is Outcome.APPLIED
    if settled.finished and is_applied and not log.isEnabledFor(logging.DEBUG):
        return  # the most frequent case: skip building its fields
    lane, job = claim.lane, claim.job_id
    fields = {
        "lane": lane,
        "user": user_and_trader(lane)[0],
        "job": job,
        "outcome": result.outcome.value if result else None,
        "verdict": request.attempt.verdict if request else None,
        "code": request.attempt.code if request else None,
        "took_ms": request.attempt.took_ms if request else None,
    }
    if settled.fenced:
        extra = log_fields(Event.FENCED, **fields)
        log.warning("lane %s: lost with its session; the settlement of %s was fenced", lane, job, extra=extra)
    elif result is None or not settled.finished:
        again_in_s = settled.again_in_s
        blamed = f"{request}, like the requests of many other users"  # the script requeued it: the egress is at fault
        reason = settlement.reason if isinstance(settlement, Requeue) else blamed
        extra = log_fields(Event.REQUEUED, **fields | {"outcome": None, "again_in_ms": round(again_in_s * 1000)})
        log.info("lane %s: %s; %s again in %.3f s", lane, reason, job, again_in_s, extra=extra)
    elif is_applied:
        log.debug("lane %s: %s applied", lane, job, extra=log_fields(Event.FINISHED, **fields))
    else:
        # The request whose keys were rejected was logged as a warning; the changes that end unsent after it are not.
        is_expected = request is None and (claim.rejected_keys_mark or result.outcome is Outcome.CANCELLED)
        level = logging.DEBUG if is_expected else logging.WARNING
        extra = log_fields(Event.FINISHED, **fields)
        reason = f"{result.code} {result.message}" if result.code else result.message
        log.log(level, "lane %s: %s ended %s: %s", lane, job, result.outcome, reason, extra=extra)
