"""Whether the Redis that the settings name can serve a program at all: asked before the gateway takes calls."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.errors import QueueUnavailable, SettingsError
from producers.monitor.permissions import may_run
from producers.monitor.redis_checks import is_cluster
from producers.settings import ProducerSettings
from producers.transport.clients import follows_cluster, keyspace_of
from producers.transport.commands import EXISTS
from producers.transport.explain import describe, explain
from producers.transport.explanations import CLUSTER, DSN
from producers.transport.runner import run_plan
from producers.transport.shards import Shards, open_shards


async def check_redis(settings: ProducerSettings) -> None:
    """Check the Redis of some settings, as a worker does at its start.

    One that is away passes: the gateway starts without it, and its calls are refused meanwhile.

    Raises:
        SettingsError: this Redis will not serve these settings, whatever time passes.
        LayoutMismatch: the queue has another number of shards, or another version wrote it.
    """
    clients: Shards[Redis] = open_shards(
        settings.redis_dsn,
        Redis,
        shards=settings.shards,
        timeout_s=settings.redis_timeout_s,
        keyspace=settings.keyspace,
    )
    try:
        async with asyncio.timeout(settings.redis_timeout_s):
            await _check(clients)
    except TimeoutError:
        pass
    except (RedisError, QueueUnavailable) as exc:
        cause = exc.__cause__ if isinstance(exc, QueueUnavailable) and exc.__cause__ else exc
        if explain(cause).permanent:
            raise SettingsError(f"{DSN}: {describe(cause)}") from exc
    finally:
        for client in clients.all():
            await client.aclose()


async def _check(clients: Shards[Redis]) -> None:
    home = clients.home
    if await may_run(home, "INFO") and is_cluster(await home.info("cluster")) and not follows_cluster(home):
        raise SettingsError(f"{DSN}: {CLUSTER.problem}; {CLUSTER.remedy}")
    asking = (run_plan(client, EXISTS(keyspace_of(client).layout), DSN) for client in clients.all())
    found = await asyncio.gather(*asking, return_exceptions=True)
    errors = [error for error in found if isinstance(error, BaseException)]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, QueueUnavailable))  # one that is away says nothing
