"""The doctor of the worker's side: settings, credentials and the exchange, from where a worker would run.

The command line finds it through the entry-point group `copytrade.checks`. The one request that it makes asks for the
exchange's time. It needs no credentials, and takes no slot of the egress's bucket: the pace leaves fifty requests a
minute free for such, and a doctor must do without Redis.
"""

from __future__ import annotations

from collections.abc import Sized

from redis.asyncio import Redis

from producers.errors import SettingsError
from producers.monitor.checks import Check
from producers.transport.dsn import open_redis
from worker.clock import Clock, SystemClock
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sources import open_source
from worker.errors import CredentialsError, CredentialsUnavailable, TransportError
from worker.exchange.client import Exchange
from worker.exchange.endpoint import TIME_PATH
from worker.exchange.replies import classify
from worker.process import checks as worker_checks
from worker.settings import WorkerSettings


async def checks(settings: WorkerSettings | None = None, clock: Clock | None = None) -> list[Check]:
    """Checks what a worker needs beside Redis. Whatever it finds is a Check, no error.

    Args:
        settings: by default read from the environment.
        clock: this machine's.
    """
    try:
        settings = settings or WorkerSettings.from_env()
    except SettingsError as exc:
        return [worker_checks.of_broken_settings(str(exc))]
    return [
        worker_checks.of_settings(),
        await _credentials(settings),
        *await _exchange(settings, clock or SystemClock()),
    ]


async def _credentials(settings: WorkerSettings) -> Check:
    try:
        redis = open_redis(settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s)
        async with redis:
            store = open_source(settings, redis)
            if isinstance(store, RedisCredentials):
                return worker_checks.of_credentials(await store.count())
    except (SettingsError, CredentialsError, CredentialsUnavailable) as exc:
        return worker_checks.of_broken_credentials(str(exc))
    return worker_checks.of_credentials(len(store) if isinstance(store, Sized) else None)


async def _exchange(settings: WorkerSettings, clock: Clock) -> list[Check]:
    try:
        exchange = Exchange(
            settings.exchange_url,
            max_connections=1,
            connect_timeout_s=settings.connect_timeout_s,
            total_timeout_s=settings.request_timeout_s,
            clock=clock,
        )
    except SettingsError as exc:
        return [worker_checks.of_silence(str(exc))]
    try:
        async with exchange:
            raw = await exchange.get(TIME_PATH)
    except TransportError as exc:
        return [worker_checks.of_silence(str(exc))]
    received_ms = clock.wall_ms()
    request_time_ms = classify(raw.status, raw.body).request_time_ms
    found = [worker_checks.of_exchange(raw.status, raw.took_s, tells_time=request_time_ms is not None)]
    if request_time_ms is not None:
        # The exchange wrote its time between send and receipt; the middle is wrong by half of that at most.
        offset_s = (request_time_ms - received_ms) / 1000 + raw.took_s / 2
        found.append(worker_checks.of_skew(offset_s, raw.took_s / 2))
    return found
