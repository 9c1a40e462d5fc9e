"""Health checks of a Redis and of the queue on it. Problems are returned as checks, not raised."""

from __future__ import annotations

import asyncio
import time

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.contract.layout import LAYOUT
from producers.errors import SettingsError
from producers.monitor import redis_checks
from producers.monitor.checks import Check, CheckStatus, fail, merge_checks, ok
from producers.monitor.cluster_checks import check_cluster, check_unserved
from producers.monitor.merged_overview import merge_overviews
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.monitor.permissions import may_run
from producers.monitor.queue_checks import check_layout, check_queue, needs_second_look
from producers.monitor.redis_checks import Info
from producers.monitor.servers import HOME, Keyspaces, Server, servers_of
from producers.queue.migration import MigrationReport, survey
from producers.settings import ProducerSettings, redact_dsn
from producers.transport.clients import keyspace_of
from producers.transport.commands import EXISTS, GET
from producers.transport.explain import explain
from producers.transport.runner import execute
from producers.transport.shards import Shards, open_shards

ROUND_TRIPS = 3
"""The first may include connecting, and any may be delayed, so the fastest is the one that is checked."""

SECOND_LOOK_S = 1.0
"""The time between two looks at lanes that wait for no reason that one look shows: for the rates of the egresses."""


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
    """Check a Redis and the queue on it. If nothing of it answers, there are no other checks.

    In a cluster each keyspace is checked by itself: what can be said of the others does not depend on one.

    Args:
        redis: a client, or those of a queue with shards.
        settings: the settings they were opened with.
    """
    keyspaces = Keyspaces(redis if isinstance(redis, Shards) else Shards.single(redis))
    dsn = redact_dsn(settings.redis_dsn)
    try:
        servers = await servers_of(keyspaces)
        if not servers:
            return [_unusable(f"{dsn}: ", next(iter(keyspaces.errors.values()))), *_unserved(keyspaces)]
        looks = [await _look_at(server, settings) for server in servers]
        found = {server.address: of_server for server, (of_server, _) in zip(servers, looks, strict=True)}
        of_queue = await _queue(keyspaces)
    except RedisError as exc:
        return [_unusable(f"{dsn}: ", exc)]
    in_cluster = [check for _, of_cluster in looks for check in of_cluster]
    return [*merge_checks(found), *in_cluster, *_unserved(keyspaces), *of_queue]


def _unusable(where: str, error: RedisError) -> Check:
    """Return the finding for a Redis that does not answer, or refuses to serve this user."""
    explanation = explain(error)
    detail = f"{where}{explanation.problem} ({type(error).__name__}: {error})"
    return fail("redis", detail, explanation.remedy or "look at the server's log")


def _unserved(keyspaces: Keyspaces) -> list[Check]:
    """Return the findings for the keyspaces of a cluster that did not answer, each with its slot."""
    return [
        check_unserved(name, *keyspaces.slot(name), f"{explain(exc).problem} ({exc})", explain(exc).remedy)
        for name, exc in keyspaces.errors.items()
    ]


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


async def _look_at(server: Server, settings: ProducerSettings) -> tuple[list[Check], list[Check]]:
    """Return the checks of a server, and those of its part in a cluster. One that goes away meanwhile is a finding."""
    try:
        info = await _read_info(server.redis)
        of_server = await _check_server(server, info, settings)
        return of_server, [await _check_cluster(server, info)] if server.address else []
    except RedisError as exc:
        if not server.address:
            raise
        return [_unusable("", exc)], [check_cluster(server.slots, server.address, None, {})]


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


async def _queue(keyspaces: Keyspaces) -> list[Check]:
    """Check the queue as far as its shards answer."""
    layout = await _layout(keyspaces)
    if layout.status is CheckStatus.FAIL:
        return [layout]
    earlier = None
    try:
        overview = await _overview(keyspaces)
        if overview is not None and needs_second_look(overview):
            await asyncio.sleep(SECOND_LOOK_S)
            earlier, overview = overview, await _overview(keyspaces)
    except ResponseError as exc:
        return [redis_checks.check_scripts(str(exc))]
    of_queue = [] if overview is None else check_queue(overview, earlier)
    return [redis_checks.check_scripts(None), layout, *of_queue]


async def _overview(keyspaces: Keyspaces) -> Overview | None:
    """Return the overview of the shards that answer; None if none does."""
    parts = await keyspaces.ask(lambda client: execute(client, read_overview()))
    return merge_overviews([*parts.values()]) if parts else None


async def _layout(keyspaces: Keyspaces) -> Check:
    """Check the layout of each shard, and their number, which the home and each shard say."""
    surveys = await keyspaces.ask(_survey)
    found = [check_layout(report) for report in surveys.values()]
    if HOME in keyspaces.parts:
        keys, shards = keyspace_of(keyspaces.parts[HOME]), len(keyspaces.parts) - 1
        sound = ok("layout", f"{LAYOUT}, over {shards} shards")
        for at_home, is_there in (await keyspaces.ask(_survey_home, HOME)).values():
            is_new = at_home.layout == LAYOUT and not is_there
            check = sound if is_new else check_layout(at_home, keys.mark)
            found.insert(0, sound if check.status is CheckStatus.OK else check)
        for name, number in (await keyspaces.ask(_number)).items():
            if number.isdecimal():
                check = check_layout(msgspec.structs.replace(surveys[name], layout=f"{LAYOUT}/{number}"), keys.mark)
                found.insert(0, sound if check.status is CheckStatus.OK else check)
    unknown = ok("layout", "unknown: no keyspace tells it")
    return max(found, key=lambda check: list(CheckStatus).index(check.status), default=unknown)


async def _survey(client: Redis) -> MigrationReport:
    return await execute(client, survey(keyspace_of(client)))


async def _survey_home(client: Redis) -> tuple[MigrationReport, bool]:
    """Return what is in the home, and whether its layout is stored."""
    is_there = await execute(client, EXISTS(keyspace_of(client).layout))
    return await _survey(client), is_there > 0


async def _number(client: Redis) -> str:
    """Return how many shards there are, as a shard says; "" if it does not say."""
    number = await execute(client, GET(keyspace_of(client).shards))
    return (number or b"").decode(errors="replace")
