"""Health checks of a Redis and of the queue on it. Problems are returned as checks, not raised."""

from __future__ import annotations

import time

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.contract.layout import LAYOUT
from producers.errors import QueueUnavailable, SettingsError
from producers.monitor import redis_checks
from producers.monitor.checks import Check, CheckStatus, fail, merge_checks, ok
from producers.monitor.cluster_checks import check_cluster
from producers.monitor.merged_overview import merge_overviews
from producers.monitor.overview import read_overview
from producers.monitor.permissions import may_run
from producers.monitor.queue_checks import check_layout, check_queue
from producers.monitor.redis_checks import Info
from producers.monitor.servers import Server, servers_of
from producers.queue.migration import survey
from producers.settings import ProducerSettings, redact_dsn
from producers.transport.clients import keyspace_of
from producers.transport.commands import EXISTS
from producers.transport.explain import explain
from producers.transport.runner import execute, run_plan
from producers.transport.shards import Shards, open_shards

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
        clients: Shards[Redis] = open_shards(
            settings.redis_dsn,
            Redis,
            shards=settings.shards,
            timeout_s=settings.redis_timeout_s,
            keyspace=settings.keyspace,
        )
    except SettingsError as exc:
        return [fail("settings", str(exc), "correct the variable")]
    try:
        return await checks(clients, settings)
    finally:
        for client in clients.all():
            await client.aclose()


async def checks(redis: Redis | Shards[Redis], settings: ProducerSettings) -> list[Check]:
    """Check a Redis and the queue on it. If Redis cannot be used, that is the only check.

    Args:
        redis: a client, or those of a queue with shards.
        settings: the settings they were opened with.
    """
    clients = redis if isinstance(redis, Shards) else Shards.single(redis)
    try:
        servers = await servers_of(clients)
        infos = {server.address: await _read_info(server.redis) for server in servers}
        found = {server.address: await _check_server(server, infos[server.address], settings) for server in servers}
        in_cluster = [await _check_cluster(server, infos[server.address]) for server in servers if server.address]
        return [*merge_checks(found), *in_cluster, *await _queue(clients)]
    except (RedisError, QueueUnavailable, SettingsError) as exc:
        error = exc if isinstance(exc, RedisError) else exc.__cause__ or exc
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


async def _read_info(redis: Redis) -> Info | str:
    """Return the reply to INFO, or why it is refused."""
    if not await may_run(redis, "INFO"):
        return "by its ACL"
    try:
        info: Info = await redis.info()
    except ResponseError as exc:
        return str(exc)
    return info


async def _check_server(server: Server, info: Info | str, settings: ProducerSettings) -> list[Check]:
    if isinstance(info, str):
        of_info = [redis_checks.info_refused(info)]
    else:
        in_cluster = bool(server.address)
        of_info = redis_checks.check_info(info, full_percent=settings.redis_full_percent, follows_cluster=in_cluster)
    return [await _round_trip(server.redis), *of_info, await _clock(server.redis)]


async def _check_cluster(server: Server, info: Info | str) -> Check:
    replicas = None if isinstance(info, str) else int(info.get("connected_slaves", 0))
    may_ask = await may_run(server.redis, "CLUSTER", "INFO")
    state = await server.redis.execute_command("CLUSTER INFO") if may_ask else {}  # type: ignore[no-untyped-call]
    return check_cluster(server.slots, server.address, replicas, state)


async def _clock(redis: Redis) -> Check:
    """Compare Redis's time to the middle of the round trip; the uncertainty is half of the round trip."""
    asked_s = time.time()
    seconds, micros = await redis.time()
    received_s = time.time()
    return redis_checks.check_clock(
        seconds + micros / 1_000_000 - (asked_s + received_s) / 2, (received_s - asked_s) / 2
    )


async def _queue(clients: Shards[Redis]) -> list[Check]:
    layout = await _layout(clients)
    if layout.status is CheckStatus.FAIL:
        return [layout]
    try:
        parts = [await run_plan(client, read_overview(), "reading the overview") for client in clients.clients]
        overview = merge_overviews(parts)
    except QueueUnavailable as exc:
        if isinstance(exc.__cause__, ResponseError):
            return [redis_checks.check_scripts(str(exc.__cause__))]
        raise
    return [redis_checks.check_scripts(None), layout, *check_queue(overview)]


async def _layout(clients: Shards[Redis]) -> Check:
    """Check the layout of each shard, and their number, which the home has."""
    found = [check_layout(await execute(client, survey(keyspace_of(client)))) for client in clients.clients]
    if len(found) > 1:
        keys = keyspace_of(clients.home)
        at_home = await execute(clients.home, survey(keys))
        is_new = at_home.layout == LAYOUT and not await execute(clients.home, EXISTS(keys.layout))
        sound = ok("layout", f"{LAYOUT}, over {len(found)} shards")
        check = sound if is_new else check_layout(at_home, keys.mark)
        found.insert(0, sound if check.status is CheckStatus.OK else check)
    return max(found, key=lambda check: list(CheckStatus).index(check.status))
