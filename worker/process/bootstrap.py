"""Construction of the dispatcher and everything that it needs, from settings and a Redis client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from producers.errors import SettingsError
from producers.monitor.redis_checks import is_cluster
from producers.tracing import OFF, open_tracing
from producers.transport.clients import follows_cluster
from producers.transport.explain import CLUSTER, DSN
from worker.attempt.attempt import AttemptRunner
from worker.clock import Clock
from worker.credentials.model import CredentialStore
from worker.credentials.sources import entered
from worker.exchange.client import ExchangeClient
from worker.exchange.clock import ExchangeClock
from worker.exchange.connections import check_local_address
from worker.exchange.time_sync import synchronize
from worker.logs import Event, log_fields
from worker.metrics import WorkerMetrics
from worker.process.checks import startup_warnings
from worker.process.dispatcher import Dispatcher
from worker.queue.claim import Claimer
from worker.queue.claims import Settled
from worker.queue.rate import Pacing
from worker.queue.redis_retry import RedisAvailability
from worker.queue.session import Session
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_dispatcher(
    *,
    redis: Redis,
    availability: RedisAvailability,
    clock: Clock,
    settings: WorkerSettings,
    credentials: CredentialStore,
    tasks: dict[str, asyncio.Task[None]],
    on_settled: Callable[[Settled], None],
    metrics: WorkerMetrics,
) -> AsyncIterator[tuple[Dispatcher, Session]]:
    """Open a dispatcher and its session, and start neither. Retry while Redis is away.

    `tasks` and `on_settled` are the dispatcher's.

    Raises:
        SettingsError: this Redis will not serve a worker, whatever time passes.
    """
    info = await availability.retry_until_up(lambda: _read_info(redis), "the start", is_starting=True)
    if is_cluster(info) and not follows_cluster(redis):
        raise SettingsError(f"{DSN}: {CLUSTER.problem}; {CLUSTER.remedy}")
    for warning in startup_warnings(info):
        log.warning("%s", warning, extra=log_fields(Event.UNSAFE_REDIS))
    if settings.egress_bind is not None:
        check_local_address(settings.egress_bind)
    exchange = ExchangeClient(
        settings.exchange_url,
        max_connections=settings.max_jobs,
        connect_timeout_s=settings.connect_timeout_s,
        total_timeout_s=settings.request_timeout_s,
        clock=clock,
        bind=settings.egress_bind,
        proxy=settings.proxy,
    )
    exchange_clock = ExchangeClock(clock)
    pacing = Pacing.from_rates(
        user_rate_per_s=settings.user_rate_per_s,
        egress_rate_per_s=settings.egress_rate_per_s,
        margin_percent=settings.pace_margin_percent,
    )
    async with entered(credentials), exchange:
        await availability.retry_until_up(
            lambda: synchronize(
                exchange_clock, redis=redis, exchange=exchange, clock=clock, egress=settings.egress, pacing=pacing
            ),
            "the start",
            is_starting=True,
        )
        session = Session(redis, clock, settings, pacing, availability=availability, metrics=metrics)
        await availability.retry_until_up(session.renew, "the start", is_starting=True)
        runner_type, settler_type = _attempt_types(settings)
        dispatcher = Dispatcher(
            redis=redis,
            availability=availability,
            claimer=Claimer(redis, clock, settings, pacing, session, metrics=metrics),
            attempt_runner=runner_type(
                clock=clock,
                exchange=exchange,
                exchange_clock=exchange_clock,
                credentials=credentials,
                settler=settler_type(redis, clock, settings, pacing, availability=availability, metrics=metrics),
                session=session,
                settings=settings,
                metrics=metrics,
            ),
            clock=clock,
            settings=settings,
            tasks=tasks,
            on_settled=on_settled,
        )
        metrics.in_flight.watch(lambda: dispatcher.in_flight)
        metrics.in_flight_limit.watch(lambda: settings.max_jobs)
        metrics.exchange_clock_offset.watch(exchange_clock.offset_s)
        yield dispatcher, session


def _attempt_types(settings: WorkerSettings) -> tuple[type[AttemptRunner], type[Settler]]:
    """Return the runner of attempts and the settler: with spans around them if tracing is on."""
    if open_tracing(settings) is OFF:
        return AttemptRunner, Settler
    from worker.attempt.tracing import TracedAttemptRunner, TracedSettler  # noqa: PLC0415 - OpenTelemetry is optional

    return TracedAttemptRunner, TracedSettler


async def _read_info(redis: Redis) -> dict[str, Any]:
    """Return the reply to INFO; an empty dict if the server or the ACL does not allow the command."""
    try:
        info: dict[str, Any] = await redis.info()
    except ResponseError as exc:
        log.info(
            "Redis does not allow INFO (%s), so its configuration is not checked; run: copytrade doctor",
            exc,
            extra=log_fields(Event.UNSAFE_REDIS),
        )
        return {}
    return info
