"""What the metrics count of attempts: requests by what became of them, and changes that ended."""

from __future__ import annotations

from producers.contract.messages import Outcome
from worker.attempt.decide import MAX_LOST_DELIVERIES
from worker.attempt.retry import AMBIGUOUS, Verdict
from worker.errors import TransportError
from worker.exchange.replies import CODES, ReplyClass
from worker.metrics import WorkerMetrics
from worker.queue.claims import Finish, Settled, Settlement

UNREACHABLE = "unreachable"
"""What became of a request of which nothing was sent: there was no connection. Its verdict is transient."""

NO_CODE, OTHER_CODE = "none", "other"
"""Labels of replies without a code, and with one that is not in the table: their number must have a bound."""


class AttemptObserver:
    """Counts the requests and the ends of a worker's attempts."""

    def __init__(self, metrics: WorkerMetrics, egress: str) -> None:
        self._metrics = metrics
        self._egress = egress
        for verdict in (*ReplyClass, AMBIGUOUS, UNREACHABLE):
            metrics.requests.begin(egress, verdict)

    def observe_failure(self, error: TransportError) -> None:
        """Count a request without a readable reply."""
        self._metrics.requests.add(self._egress, AMBIGUOUS if error.sent else UNREACHABLE)

    def observe_reply(self, verdict: Verdict, code: str | None, took_s: float) -> None:
        """Count a request with a reply, which is another request's if the verdict is ambiguous."""
        metrics = self._metrics
        metrics.requests.add(self._egress, verdict)
        metrics.replies.add(NO_CODE if code is None else code if code in CODES else OTHER_CODE)
        if verdict != AMBIGUOUS:
            metrics.request_duration.observe(took_s, self._egress)

    def observe_settlement(self, settlement: Settlement, settled: Settled) -> None:
        """Count the changes that a settlement ended, or that it was refused."""
        metrics, claim = self._metrics, settlement.claim
        if settled.fenced and not settled.is_repeated:
            metrics.settlements_refused.add()
        if not isinstance(settlement, Finish) or not settled.finished:
            return
        for result in settlement.results:
            metrics.change_attempts.observe(len(result.attempts), result.outcome)
            if result.enqueued_at_ms is not None:
                took_s = (result.finished_at_ms - result.enqueued_at_ms) / 1000
                metrics.change_duration.observe(took_s, claim.priority, result.outcome)
        is_exhausted = settlement.results[0].outcome is Outcome.EXHAUSTED
        if is_exhausted and settlement.request is None and claim.lost_deliveries >= MAX_LOST_DELIVERIES:
            metrics.poisoned.add()
