"""The worker's part of `copytrade doctor`: settings, credentials and the exchange, checked from this machine.

The command line finds it through the entry-point group `copytrade.checks`. Its only request to the exchange fetches the
time, without credentials. It takes no slot of the egress's bucket, since it must work without Redis; the pace leaves
fifty requests a minute free.
"""

from __future__ import annotations

import os
from collections.abc import Sized
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from producers.errors import SettingsError
from producers.monitor.checks import Check, fail, ok
from producers.monitor.permissions import may_run
from producers.settings import variable_name
from producers.transport.clients import keyspace_of
from producers.transport.dsn import open_redis
from worker.clock import Clock, SystemClock
from worker.credentials.file_store import FileCredentials
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sources import open_uncached_store
from worker.errors import CredentialsError, CredentialsUnavailable, ProxyFailed, TransportError
from worker.exchange.client import ExchangeClient
from worker.exchange.endpoint import TIME_PATH
from worker.exchange.replies import classify
from worker.process.checks import check_clock_skew, check_credentials, check_exchange, credentials_not_permitted
from worker.settings import WorkerSettings

DEFAULT_CREDENTIALS_FILE = Path(WorkerSettings().credentials.partition(":")[2])


async def checks(
    settings: WorkerSettings | None = None, clock: Clock | None = None, *, dsn: str | None = None
) -> list[Check]:
    """Check what a worker needs besides Redis. Return every problem as a Check, and raise none.

    Args:
        settings: by default from the environment; if that names no credentials, nothing is checked.
        clock: this machine's.
        dsn: used instead of the settings' `redis_dsn`.
    """
    if settings is None and not _is_worker_machine():
        missing = f"{variable_name('credentials')} is not set, and {DEFAULT_CREDENTIALS_FILE} is not here"
        return [ok("worker", f"not checked: {missing}; a machine that only enqueues needs neither")]
    try:
        settings = settings or WorkerSettings.from_env()
    except SettingsError as exc:
        return [fail("worker settings", str(exc), "correct the variable; no worker starts with it")]
    if dsn is not None:
        settings = msgspec.structs.replace(settings, redis_dsn=dsn)
    return [
        ok("worker settings", "readable"),
        await _check_credentials(settings),
        *await _check_exchange(settings, clock or SystemClock()),
    ]


def _is_worker_machine() -> bool:
    return variable_name("credentials") in os.environ or DEFAULT_CREDENTIALS_FILE.exists()


async def _check_credentials(settings: WorkerSettings) -> Check:
    try:
        redis = open_redis(settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s, keyspace=settings.keyspace)
        async with redis:
            store = open_uncached_store(settings, redis)
            match store:
                case FileCredentials():
                    return check_credentials(len(store), [fault.message for fault in store.faults])
                case RedisCredentials() if not await may_run(redis, "HLEN", keyspace_of(redis).credentials):
                    return credentials_not_permitted()
                case RedisCredentials():
                    users = await store.count()
                    may_list = await may_run(redis, "HSCAN", keyspace_of(redis).credentials, "0")
                    return check_credentials(users, await store.faults() if may_list else ())
                case _:
                    return check_credentials(len(store) if isinstance(store, Sized) else None)
    except SettingsError as exc:
        return fail("credentials", str(exc), "no worker starts with it: correct this variable")
    except (CredentialsError, CredentialsUnavailable) as exc:
        if isinstance(exc.__cause__, NoPermissionError):  # before Redis 7.0, only trying it tells
            return credentials_not_permitted()
        return fail("credentials", str(exc), "no worker starts with it; see COPYTRADE_CREDENTIALS")


async def _check_exchange(settings: WorkerSettings, clock: Clock) -> list[Check]:
    try:
        exchange = ExchangeClient(
            settings.exchange_url,
            max_connections=1,
            connect_timeout_s=settings.connect_timeout_s,
            total_timeout_s=settings.request_timeout_s,
            clock=clock,
            bind=settings.egress_bind,
            proxy=settings.proxy,
        )
        async with exchange:
            raw = await exchange.get(TIME_PATH)
    except TransportError as exc:
        hint = "check COPYTRADE_EXCHANGE_URL, and whether this machine may connect to it"
        if isinstance(exc, ProxyFailed):
            hint = "check COPYTRADE_EGRESS_PROXY, and whether that proxy runs and may connect to the exchange"
        elif settings.egress_bind is not None:
            hint += f" from {settings.egress_bind} (COPYTRADE_EGRESS_BIND)"
        return [fail("exchange", str(exc), hint)]
    received_ms = clock.wall_ms()
    request_time_ms = classify(raw.status, raw.body, raw.charset).request_time_ms
    found = [check_exchange(raw.status, raw.took_s, has_time=request_time_ms is not None)]
    if request_time_ms is not None:
        # The exchange wrote its time between send and receipt; the middle is wrong by at most half of that.
        offset_s = (request_time_ms - received_ms) / 1000 + raw.took_s / 2
        found.append(check_clock_skew(offset_s, raw.took_s / 2))
    return found
