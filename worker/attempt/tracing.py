"""Spans of attempts: `process` for each attempt at a traced change, with the request and `settle` in it.

A change is traced if it is stored with a trace context: its own, or that of its batch. What makes the spans are the
worker's own runner and settler with spans around them, which are used only while tracing is on.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from redis.asyncio import Redis

from producers.contract import attempt_history, ids, keyspace
from producers.contract.codec import TRACEPARENT_BYTES, traceparent_of
from producers.contract.messages import Outcome
from producers.tracing.spans import (
    BATCH_ID,
    MESSAGE_COUNT,
    MESSAGE_ID,
    USER_ID,
    Spans,
    context_of,
    fail,
    link_to,
)
from producers.tracing.spans import traceparent_of as traceparent_of_span
from worker.attempt.attempt import AttemptRunner
from worker.attempt.decide import ReadyAttempt, validate_claim
from worker.clock import Clock
from worker.exchange.client import RawReply
from worker.exchange.endpoint import METHOD, SETTINGS_PATH
from worker.exchange.replies import ReplyClass
from worker.exchange.signing import SignedHeaders
from worker.logs import Event, log_fields
from worker.queue.claims import Claim, Finish, Settled, Settlement, Stored
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

FIRST_ERROR_STATUS = 400
FENCED = "fenced"

FAILED = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED, Outcome.EXPIRED)
"""The outcomes with which a change has not done what its producer wanted, although nobody cancelled or replaced it."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """A change that is traced.

    Attributes:
        job_id: its ID.
        traceparent: the trace context that it is stored with.
        is_shared: whether that is its batch's.
    """

    job_id: str
    traceparent: str
    is_shared: bool


class TracedAttemptRunner(AttemptRunner):
    """Runs attempts, with spans around those at traced changes."""

    def __init__(self, *, settings: WorkerSettings, **parts: Any) -> None:
        super().__init__(settings=settings, **parts)
        self._spans = Spans(with_user_ids=settings.tracing_user_ids)
        url = urlsplit(settings.exchange_url)
        self._server: dict[str, str | int] = {
            "url.full": f"{url.scheme}://{url.netloc}{SETTINGS_PATH}",
            "server.address": url.hostname or "",
            "server.port": url.port or (443 if url.scheme == "https" else 80),
            "http.request.method": METHOD,
        }

    def run(self, claim: Claim) -> Coroutine[Any, Any, Settled]:
        """Attempt a claim and settle it, whatever happens."""
        if not any(is_traced(stored) for _, stored in _changes_of(claim)):
            return super().run(claim)  # without a coroutine around it: this is the most frequent case
        return self._run_traced(claim)

    async def _run_traced(self, claim: Claim) -> Settled:
        try:
            described = self._describe(claim)
        except Exception:  # a claim must be settled, whatever is wrong with tracing
            extra = log_fields(Event.INTERNAL_ERROR, lane=claim.lane, job=claim.job_id)
            log.exception("lane %s: %s is attempted without a span", claim.lane, claim.job_id, extra=extra)
            described = None
        if described is None:
            return await super().run(claim)
        attributes, parent, links = described
        with self._spans.operation("process", SpanKind.CONSUMER, attributes, parent=parent, links=links):
            return await super().run(claim)

    def _describe(self, claim: Claim) -> tuple[dict[str, str | int], Context, list[Link]] | None:
        """Return attributes, parent and links of the span of an attempt; None if none of its changes is traced."""
        members = members_of(claim, self._redis_ms(claim))
        origins = [origin for job_id, stored in members if (origin := origin_of(job_id, stored))]
        links = [link for each in origins if (link := link_to(each.traceparent, {MESSAGE_ID: each.job_id}))]
        if not links:
            return None
        history = attempt_history.decode(claim.history).for_job(claim.job_id)
        attributes = message_attributes([job_id for job_id, _ in members]) | {
            BATCH_ID: ids.batch_id_of(claim.job_id) or "",
            USER_ID: keyspace.user_and_trader(claim.lane)[0] if self._spans.with_user_ids else "",
            "copytrade.egress": self._egress,
            "copytrade.attempt": len(history.attempts) + 1,
        }
        return attributes, parent_of(origins, history.traceparent or ""), links

    def _post(self, claim: Claim, body: bytes, signed: SignedHeaders) -> Coroutine[Any, Any, RawReply]:
        if not trace.get_current_span().is_recording():
            return super()._post(claim, body, signed)
        return self._post_traced(claim, body, signed)

    async def _post_traced(self, claim: Claim, body: bytes, signed: SignedHeaders) -> RawReply:
        with self._spans.span(METHOD, SpanKind.CLIENT, self._server) as span:
            reply = await super()._post(claim, body, signed)
            span.set_attribute("http.response.status_code", reply.status)
            if reply.status >= FIRST_ERROR_STATUS:
                fail(span, str(reply.status))
            return reply


class TracedSettler(Settler):
    """Writes settlements, with spans around those of traced changes."""

    def __init__(self, redis: Redis, clock: Clock, settings: WorkerSettings, *parts: Any, **options: Any) -> None:
        super().__init__(redis, clock, settings, *parts, **options)
        self._spans = Spans(with_user_ids=settings.tracing_user_ids)

    def settle(self, settlement: Settlement) -> Coroutine[Any, Any, Settled]:
        """Write one settlement, and tell the span of its attempt what came of it."""
        process = trace.get_current_span()
        return self._settle_traced(settlement, process) if process.is_recording() else super().settle(settlement)

    async def _settle_traced(self, settlement: Settlement, process: Span) -> Settled:
        results = settlement.results if isinstance(settlement, Finish) else ()
        ended = [result.job_id for result in results] or [settlement.claim.job_id]
        with self._spans.operation("settle", SpanKind.CLIENT, message_attributes(ended)) as span:
            settled = await super().settle(with_traceparent(settlement, traceparent_of_span(process)))
            if settled.fenced:
                fail(span, FENCED)
        outcome = results[0].outcome if results and settled.finished else None
        if outcome is not None:
            process.set_attribute("copytrade.outcome", outcome.value)
        if settlement.request is not None:
            attempt = settlement.request.attempt
            process.set_attribute("copytrade.verdict", attempt.verdict)
            if attempt.code is not None:
                process.set_attribute("copytrade.code", attempt.code)
        if error := error_of(settlement, settled, outcome):
            fail(process, error)
        return settled


def is_traced(stored: Stored) -> bool:
    """Return whether a change is stored with a trace context, or its batch is."""
    return bool(stored.batch_traceparent) or (stored.content is not None and TRACEPARENT_BYTES in stored.content)


def origin_of(job_id: str, stored: Stored) -> Origin | None:
    """Return where a change was enqueued, if it is traced."""
    own = "" if stored.is_template or stored.content is None else traceparent_of(stored.content)
    traceparent = own or stored.batch_traceparent
    return Origin(job_id, traceparent, is_shared=not own) if traceparent else None


def members_of(claim: Claim, now_ms: int) -> list[tuple[str, Stored]]:
    """Return the changes that the attempt at a claim is about: its head, and those that are sent with it."""
    ready = validate_claim(claim, now_ms)
    if not isinstance(ready, ReadyAttempt):
        return _changes_of(claim)[:1]
    return _changes_of(claim)[: len(ready.request.members)]


def _changes_of(claim: Claim) -> list[tuple[str, Stored]]:
    return [(claim.job_id, claim.stored), *claim.coalescable]


def parent_of(origins: Sequence[Origin], first_attempt: str) -> Context:
    """Return the context of an attempt's parent.

    That is the first change that has a trace of its own. The conventions have a parent only for an attempt at a single
    change; but without one a sampler might drop an attempt at changes that are sampled. Attempts at a change of a batch
    are not made parts of the batch's trace, which would become too large; those after the first go on with the first.
    """
    own = next((origin.traceparent for origin in origins if not origin.is_shared), first_attempt)
    return context_of(own)


def message_attributes(job_ids: Sequence[str]) -> dict[str, str | int]:
    """Return the attributes that say which changes an operation is about."""
    return {MESSAGE_ID: job_ids[0]} if len(job_ids) == 1 else {MESSAGE_COUNT: len(job_ids)}


def with_traceparent(settlement: Settlement, traceparent: str) -> Settlement:
    """Return a settlement that keeps the trace context of an attempt at a change of a batch, for what follows it."""
    claim = settlement.claim
    origin = origin_of(claim.job_id, claim.stored)
    if not traceparent or origin is None or not origin.is_shared:
        return settlement
    first = attempt_history.decode(claim.history).for_job(claim.job_id).traceparent or traceparent
    if not isinstance(settlement, Finish):
        return msgspec.structs.replace(settlement, history=attempt_history.with_traceparent(settlement.history, first))
    history = settlement.requeue_history
    if history is not None:
        history = attempt_history.with_traceparent(history, first)
    return msgspec.structs.replace(settlement, traceparent=first, requeue_history=history)


def error_of(settlement: Settlement, settled: Settled, outcome: Outcome | None) -> str:
    """Return the `error.type` of an attempt; "" for none."""
    if settled.fenced:
        return FENCED
    if settlement.request is not None and settlement.request.attempt.verdict != ReplyClass.SUCCESS:
        return settlement.request.attempt.verdict
    return outcome.value if outcome in FAILED else ""
