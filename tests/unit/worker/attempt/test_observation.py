"""What the metrics count of attempts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from producers import Attempt, Outcome, Priority
from tests.support.attempts import Bench, granted
from tests.support.changes import result
from tests.support.claims import claim
from worker.attempt.observation import AttemptObserver
from worker.errors import CredentialsUnavailable, TransportError, UnknownUser, UnusableCredentials
from worker.exchange.client import RawReply
from worker.metrics import WorkerMetrics
from worker.queue.claims import Finish, SentRequest, Settled

ENDED = Settled(fenced=False, finished=1)


def requests(metrics: WorkerMetrics) -> dict[str, int]:
    """Return the requests that were counted, by verdict."""
    counts = metrics.requests.values.items()
    return {verdict: count for (egress, verdict), count in counts if egress == "default" and count}


async def metrics_of(*answers: RawReply | TransportError) -> WorkerMetrics:
    """Return the metrics after an attempt with each answer."""
    bench = Bench(*answers)
    for _ in answers:
        await bench.attempt_runner.run(bench.claim())
    return bench.metrics


async def test_a_request_counts_by_what_its_reply_meant_and_by_its_code() -> None:
    """A code that the table does not have is not a label: there could be any number."""
    unknown = RawReply(400, b'{"code":"99998","msg":"no"}', 0.2)
    page = RawReply(502, b"<html>", 0.2)

    metrics = await metrics_of(granted(), RawReply(429, b"", 0.2), unknown, page)

    assert requests(metrics) == {"success": 1, "throttled": 1, "permanent": 1, "transient": 1}
    assert metrics.replies.values == {("00000",): 1, ("none",): 2, ("other",): 1}
    durations = metrics.request_duration.distributions["default",]
    assert (sum(durations.counts), round(durations.total, 3)) == (4, 1.0)


async def test_a_request_that_was_not_answered_is_told_from_one_that_was_not_sent() -> None:
    """Both are retried, but only the first may have been applied."""
    metrics = await metrics_of(TransportError("cut", sent=True), TransportError("no connection", sent=False))

    assert requests(metrics) == {"ambiguous": 1, "unreachable": 1}
    assert not metrics.request_duration.distributions


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnknownUser("1001", source="nowhere", remedy="add them"), "missing"),
        (UnusableCredentials("malformed"), "invalid"),
        (CredentialsUnavailable("down"), "away"),
        (TimeoutError(), "away"),
    ],
)
async def test_a_failed_look_up_of_keys_counts_by_its_cause(error: Exception, kind: str) -> None:
    """Kinds that did not occur are there, and 0, so that an alert sees the first."""
    bench = Bench()
    bench.keys_error = error

    await bench.attempt_runner.run(bench.claim())

    assert bench.metrics.credentials_errors.values == {("away",): 0, ("invalid",): 0, ("missing",): 0} | {(kind,): 1}
    assert requests(bench.metrics) == {}


def observed(finish: Finish, settled: Settled = ENDED) -> WorkerMetrics:
    """Return the metrics after a settlement."""
    metrics = WorkerMetrics()
    AttemptObserver(metrics, "default").observe_settlement(finish, settled)
    return metrics


def test_a_change_that_ended_counts_with_its_duration_and_its_requests() -> None:
    """By the priority that its lane was claimed as; a change sent with it counts too."""
    sent = [Attempt(at_ms=0, took_ms=1, verdict="success")]
    results = (
        result("a", Outcome.APPLIED, enqueued_at_ms=1_000, finished_at_ms=3_500, attempts=sent),
        result("b", Outcome.SUPERSEDED, enqueued_at_ms=2_000, finished_at_ms=3_500),
    )

    metrics = observed(Finish(claim=claim(priority=Priority.BULK), results=results), Settled(fenced=False, finished=2))

    totals = {labels: found.total for labels, found in metrics.change_duration.distributions.items()}
    assert totals == {("bulk", "applied"): 2.5, ("bulk", "superseded"): 1.5}
    attempts = {labels: found.total for labels, found in metrics.change_attempts.distributions.items()}
    assert attempts == {("applied",): 1, ("superseded",): 0}
    assert metrics.poisoned.values == {(): 0}


def test_a_refused_settlement_ends_nothing() -> None:
    """Another worker has the lane, and ends the change."""
    metrics = observed(Finish(claim=claim(), results=(result("a"),)), Settled(fenced=True, finished=0))

    assert metrics.settlements_refused.values == {(): 1}
    assert not metrics.change_duration.distributions


def test_a_repeated_settlement_is_not_counted_as_refused() -> None:
    """Probably the first one was written, and Redis's reply was lost."""
    settled = Settled(fenced=True, finished=0, is_repeated=True)

    assert observed(Finish(claim=claim(), results=(result("a"),)), settled).settlements_refused.values == {(): 0}


def test_a_change_that_killed_its_workers_counts_as_poisoned() -> None:
    """Not one that was delivered as often, and then sent until its deadline."""
    killer = Finish(claim=claim(lost_deliveries=5), results=(result("a", Outcome.EXHAUSTED),))
    request = SentRequest(Attempt(at_ms=0, took_ms=1, verdict="ambiguous"), 0.0, None)

    assert observed(killer).poisoned.values == {(): 1}
    assert observed(replace(killer, request=request)).poisoned.values == {(): 0}
