"""Health checks of a Redis and of the queue on it. Problems are returned as checks, not raised."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.errors import QueueUnavailable, SettingsError
from producers.monitor import redis_checks
from producers.monitor.checks import Check, CheckStatus, fail
from producers.monitor.cluster_checks import check_cluster
from producers.monitor.overview import read_overview
from producers.monitor.permissions import may_run
from producers.monitor.queue_checks import check_layout, check_queue
from producers.queue.migration import survey
from producers.settings import ProducerSettings, redact_dsn
from producers.transport.clients import follows_cluster, keyspace_of
from producers.transport.dsn import open_redis
from producers.transport.explain import explain
from producers.transport.runner import execute, run_plan

ROUND_TRIPS = 3
"""The first may include connecting, and any may be delayed, so the fastest is the one that is checked."""


async def diagnose(settings: ProducerSettings | None = None, *, dsn: str | None = None) -> list[Check]:
    """Check the Redis of some settings, and the queue on it.

    Args:
        settings: by default read from the environment.
        dsn: used instead of the settings' `redis_dsn`.
    """
    try:
        settings = settings or ProducerSettings.from_env()
        if dsn is not None:
            settings = msgspec.structs.replace(settings, redis_dsn=dsn)
        redis: Redis = open_redis(
            settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s, keyspace=settings.keyspace
        )
    except SettingsError as exc:
        return [fail("settings", str(exc), "correct the variable")]
    try:
        return await checks(redis, settings)
    finally:
        await redis.aclose()


async def checks(redis: Redis, settings: ProducerSettings) -> list[Check]:
    """Check a Redis and the queue on it. If Redis cannot be used, that is the only check.

    Args:
        redis: a client.
        settings: the settings it was opened with.
    """
    try:
        return [await _round_trip(redis), *await _info(redis, settings), await _clock(redis), *await _queue(redis)]
    except (RedisError, QueueUnavailable) as exc:
        error = exc.__cause__ if isinstance(exc, QueueUnavailable) and exc.__cause__ is not None else exc
        return [_unusable(redact_dsn(settings.redis_dsn), error)]


def _unusable(dsn: str, error: BaseException) -> Check:
    """Return the finding for a Redis that does not answer, or refuses to serve this user."""
    explanation = explain(error)
    detail = f"{dsn}: {explanation.problem} ({type(error).__name__}: {error})"
    return fail("redis", detail, explanation.remedy or "look at the server's log")


async def _round_trip(redis: Redis) -> Check:
    took_s = []
    for _ in range(ROUND_TRIPS):
        asked_s = time.monotonic()
        await redis.ping()
        took_s.append(time.monotonic() - asked_s)
    return redis_checks.check_round_trip(min(took_s))


async def _info(redis: Redis, settings: ProducerSettings) -> list[Check]:
    if not await may_run(redis, "INFO"):
        return [redis_checks.info_refused("by its ACL")]
    try:
        info = await redis.info()
    except ResponseError as exc:
        return [redis_checks.info_refused(str(exc))]
    in_cluster = follows_cluster(redis)
    found = redis_checks.check_info(info, full_percent=settings.redis_full_percent, follows_cluster=in_cluster)
    return [*found, await _cluster(redis, int(info.get("connected_slaves", 0)))] if in_cluster else found


async def _cluster(redis: Redis, replicas: int) -> Check:
    pool: Any = redis.connection_pool
    owner = pool.current().owner
    may_ask = await may_run(redis, "CLUSTER", "INFO")
    state = await redis.execute_command("CLUSTER INFO") if may_ask else {}  # type: ignore[no-untyped-call]
    return check_cluster(owner.slot, ":".join(map(str, owner.address)), replicas, state)


async def _clock(redis: Redis) -> Check:
    """Compare Redis's time to the middle of the round trip; the uncertainty is half of the round trip."""
    asked_s = time.time()
    seconds, micros = await redis.time()
    received_s = time.time()
    return redis_checks.check_clock(
        seconds + micros / 1_000_000 - (asked_s + received_s) / 2, (received_s - asked_s) / 2
    )


async def _queue(redis: Redis) -> list[Check]:
    layout = check_layout(await execute(redis, survey(keyspace_of(redis))))
    if layout.status is CheckStatus.FAIL:
        return [layout]
    try:
        overview = await run_plan(redis, read_overview(), "reading the overview")
    except QueueUnavailable as exc:
        if isinstance(exc.__cause__, ResponseError):
            return [redis_checks.check_scripts(str(exc.__cause__))]
        raise
    return [redis_checks.check_scripts(None), layout, *check_queue(overview)]
