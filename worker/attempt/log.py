"""What is logged of an attempt: at most one line, and one more when the egress's breaker moves."""

from __future__ import annotations

import logging

from producers.contract.keyspace import parties
from producers.contract.messages import Outcome
from worker.logs import Event, log_fields
from worker.queue.claims import Breaker, Settled, Settlement

MOVES = {
    Breaker.OPENED: (
        Event.BREAKER_OPENED,
        "many users in a row had the same trouble: from now on one request at a time probes",
    ),
    Breaker.CLOSED: (Event.BREAKER_CLOSED, "the probe had a good reply: all is sent again"),
    Breaker.HELD: (Event.EGRESS_HELD, "many users in a row were throttled: nothing is sent until it has recovered"),
}

log = logging.getLogger(__name__)


def log_attempt(settlement: Settlement, settled: Settled, egress: str) -> None:
    """Logs what became of an attempt.

    Args:
        settlement: what was wanted.
        settled: what was done.
        egress: the worker's.
    """
    if settled.breaker is not Breaker.NOTHING:
        event, what = MOVES[settled.breaker]
        extra = log_fields(event, egress=egress, failure_kind=settlement.failure_kind or None)
        log.warning("egress %s: %s; the last reply: %s", egress, what, settlement.reply, extra=extra)
    claim, result, attempt = settlement.claim, settlement.result, settlement.attempt
    if (
        settled.ended
        and result is not None
        and result.outcome is Outcome.APPLIED
        and not log.isEnabledFor(logging.DEBUG)
    ):
        return  # most are: no line, no work
    lane, job = claim.lane, claim.job_id
    fields = {
        "lane": lane,
        "user": parties(lane)[0],
        "job": job,
        "outcome": None if result is None else result.outcome.value,
        "verdict": None if attempt is None else attempt.verdict,
        "code": None if attempt is None else attempt.code,
        "took_ms": None if attempt is None else attempt.took_ms,
    }
    due_in_s = settled.due_in_s or 0.0
    if settled.fenced:
        log.warning(
            "lane %s: lost with its lease, the settlement of %s was refused",
            lane,
            job,
            extra=log_fields(Event.LEASE_LOST, **fields),
        )
    elif result is None or not settled.ended:
        reason = settlement.reason if result is None else f"{settlement.failure_kind}, as many other users"
        extra = log_fields(Event.PUT_BACK, **fields | {"outcome": None, "again_in_ms": round(due_in_s * 1000)})
        log.info("lane %s: %s, %s again in %.3f s", lane, reason, job, due_in_s, extra=extra)
    elif result.outcome is Outcome.APPLIED:
        log.debug("lane %s: %s applied", lane, job, extra=log_fields(Event.ENDED, **fields))
    else:
        extra = log_fields(Event.ENDED, **fields)
        log.log(  # of keys that were refused before, the first refusal was told
            logging.DEBUG if claim.rejected_keys_mark and attempt is None else logging.WARNING,
            "lane %s: %s ended %s: %s %s",
            lane,
            job,
            result.outcome,
            result.code or "-",
            result.message,
            extra=extra,
        )
