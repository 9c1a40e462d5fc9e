"""The doctor of the producers' side: asks Redis, and has the answers judged. Whatever it finds is a Check, no error."""

from __future__ import annotations

import time

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.errors import QueueUnavailable, SettingsError
from producers.monitor.checks import Check, fail
from producers.monitor.overview import read_overview
from producers.monitor.queue_checks import check_queue
from producers.monitor.redis_checks import (
    check_clock,
    check_info,
    check_round_trip,
    check_scripts,
    info_refused,
    unreachable,
)
from producers.settings import ProducerSettings, masked
from producers.transport.dsn import open_redis
from producers.transport.runner import run_plan

ROUND_TRIPS = 3
"""The first may have to connect, and any may meet a busy moment: the fastest tells the distance."""


async def diagnose(settings: ProducerSettings | None = None, *, dsn: str | None = None) -> list[Check]:
    """Checks the Redis of some settings, and the queue on it.

    Args:
        settings: by default read from the environment.
        dsn: where Redis is, instead of the settings' `redis_dsn`.
    """
    try:
        settings = settings or ProducerSettings.from_env()
        if dsn is not None:
            settings = msgspec.structs.replace(settings, redis_dsn=dsn)
        redis: Redis = open_redis(settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s)
    except SettingsError as exc:
        return [fail("settings", str(exc), "correct the variable")]
    try:
        return await checks(redis, settings)
    finally:
        await redis.aclose()


async def checks(redis: Redis, settings: ProducerSettings) -> list[Check]:
    """Checks a Redis and the queue on it. A Redis that does not answer is one failed check, and the only one.

    Args:
        redis: a client.
        settings: what it was opened with.
    """
    try:
        return [
            await _distance(redis),
            *await _what_it_tells(redis),
            await _clock(redis),
            *await _queue(redis),
        ]
    except (RedisError, QueueUnavailable) as exc:
        return [unreachable(f"{masked(settings.redis_dsn)}: {type(exc).__name__}: {exc}")]


async def _distance(redis: Redis) -> Check:
    took_s = []
    for _ in range(ROUND_TRIPS):
        asked_s = time.monotonic()
        await redis.ping()
        took_s.append(time.monotonic() - asked_s)
    return check_round_trip(min(took_s))


async def _what_it_tells(redis: Redis) -> list[Check]:
    try:
        return check_info(await redis.info())
    except ResponseError as exc:
        return [info_refused(str(exc))]


async def _clock(redis: Redis) -> Check:
    """The answer was written somewhere between question and receipt; the middle is wrong by half of that at most."""
    asked_s = time.time()
    seconds, micros = await redis.time()
    received_s = time.time()
    return check_clock(seconds + micros / 1_000_000 - (asked_s + received_s) / 2, (received_s - asked_s) / 2)


async def _queue(redis: Redis) -> list[Check]:
    try:
        seen = await run_plan(redis, read_overview(), "asking for an overview")
    except QueueUnavailable as exc:
        if isinstance(exc.__cause__, ResponseError):
            return [check_scripts(str(exc.__cause__))]
        raise
    return [check_scripts(None), *check_queue(seen)]
