"""Construction of the dispatchers and everything that they need, from settings and Redis clients."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.errors import SettingsError
from producers.tracing import OFF, open_tracing
from producers.transport.explain import describe, explain
from producers.transport.explanations import DSN
from producers.transport.shards import Shards
from worker.attempt.attempt import AttemptRunner
from worker.clock import Clock
from worker.credentials.model import CredentialStore, Watchable
from worker.credentials.sources import entered
from worker.exchange.client import ExchangeClient
from worker.exchange.clock import ExchangeClock
from worker.exchange.connections import check_local_address
from worker.exchange.egress_slot import EgressSlots
from worker.exchange.time_sync import synchronize
from worker.metrics import WorkerMetrics
from worker.process.dispatcher import Dispatcher
from worker.process.dispatching import ShardDispatch
from worker.process.shared import Shared
from worker.process.start_check import check_redis
from worker.queue.claim import Claimer
from worker.queue.egress_share import EgressShare, WholeEgress
from worker.queue.egress_shares import EgressShares
from worker.queue.rate import Pacing
from worker.queue.redis_retry import RedisAvailability, ShardAvailability
from worker.queue.session import PART as RENEWAL
from worker.queue.session import Session
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_dispatchers(
    *,
    shards: Shards[Any],
    availability: RedisAvailability,
    clock: Clock,
    settings: WorkerSettings,
    credentials: CredentialStore,
    shared: Shared,
    metrics: WorkerMetrics,
) -> AsyncIterator[tuple[list[ShardDispatch], EgressShares | None]]:
    """Open a dispatcher and its session for each shard, and start none. Retry while Redis is away.

    The second value is what they have of the egress's rate; None for a queue without shards.

    Raises:
        SettingsError: this Redis will not serve a worker, whatever time passes.
    """
    await check_redis(shards, availability)
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
    count = len(shards.clients)
    pacing = Pacing.from_rates(
        user_rate_per_s=settings.user_rate_per_s,
        egress_rate_per_s=settings.egress_rate_per_s,
        margin_percent=settings.pace_margin_percent,
        shards=count,
    )
    shares = EgressShares(shards, clock, settings, pacing, availability=availability) if count > 1 else None
    runner_type, settler_type = _attempt_types(settings)

    async def set_exchange_clock() -> None:
        if shares is not None:
            await shares.ask_or_fail()
        owned: list[EgressShare] = [WholeEgress(pacing) if shares is None else shares.of(n) for n in range(count)]
        parts = list(zip(shards.clients, owned, strict=True))
        slots = EgressSlots(parts, clock=clock, egress=settings.egress, pacing=pacing)
        await synchronize(exchange_clock, exchange=exchange, clock=clock, slots=slots)

    async def open_shard(number: int, redis: Redis) -> ShardDispatch:
        served = availability if shares is None else ShardAvailability(availability, number)
        session = Session(redis, clock, settings, pacing, availability=served, metrics=metrics)
        await _open_session(session, served, must_be_up=shares is None)
        share = None if shares is None else shares.of(number)
        settler = settler_type(redis, clock, settings, pacing, availability=served, metrics=metrics, shards=count)
        dispatcher = Dispatcher(
            redis=redis,
            availability=served,
            claimer=Claimer(redis, clock, settings, pacing, session, metrics=metrics, share=share),
            attempt_runner=runner_type(
                clock=clock,
                exchange=exchange,
                exchange_clock=exchange_clock,
                credentials=credentials,
                settler=settler,
                session=session,
                settings=settings,
                metrics=metrics,
            ),
            clock=clock,
            settings=settings,
            shared=shared,
            shard=number,
        )
        if shares is not None:
            shares.on_more(number, dispatcher.wake)
        return ShardDispatch(dispatcher, session, served)

    async with entered(credentials), exchange:
        await availability.retry_until_up(set_exchange_clock, "the start", is_starting=True)
        opened = [await open_shard(number, redis) for number, redis in enumerate(shards.clients)]
        metrics.in_flight.watch(lambda: sum(one.dispatcher.in_flight for one in opened))
        metrics.in_flight_limit.watch(lambda: settings.max_jobs)
        metrics.exchange_clock_offset.watch(exchange_clock.offset_s)
        if isinstance(credentials, Watchable):
            metrics.credentials_source_ok.watch(credentials.source_ok)
        yield opened, shares


async def _open_session(session: Session, availability: RedisAvailability, *, must_be_up: bool) -> None:
    """Open a session. That of a shard which is away is opened when it is back, and holds up no other.

    Raises:
        SettingsError: this Redis will not serve a worker, whatever time passes.
    """
    if must_be_up:
        await availability.retry_until_up(session.renew, "the start", is_starting=True)
        return
    try:
        await session.renew()
    except (RedisError, OSError) as exc:
        if explain(exc).permanent:
            raise SettingsError(f"{DSN}: {describe(exc)}") from exc
        availability.failed(RENEWAL, exc)


def _attempt_types(settings: WorkerSettings) -> tuple[type[AttemptRunner], type[Settler]]:
    """Return the runner of attempts and the settler: with spans around them if tracing is on."""
    if open_tracing(settings) is OFF:
        return AttemptRunner, Settler
    from worker.attempt.tracing import TracedAttemptRunner, TracedSettler  # noqa: PLC0415 - OpenTelemetry is optional

    return TracedAttemptRunner, TracedSettler
