"""What a worker asks of its Redis before it writes or sends anything."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.errors import LayoutMismatch, SettingsError
from producers.monitor.redis_checks import is_cluster
from producers.transport.clients import follows_cluster, keyspace_of
from producers.transport.commands import EXISTS
from producers.transport.explain import explain
from producers.transport.explanations import CLUSTER, DSN
from producers.transport.layout_check import with_layout_check
from producers.transport.runner import check_shards, execute
from producers.transport.shards import Shards
from worker.logs import Event, log_fields
from worker.process.checks import startup_warnings
from worker.queue.redis_retry import RedisAvailability

log = logging.getLogger(__name__)


async def check_redis(shards: Shards[Any], availability: RedisAvailability) -> None:
    """Check the server, the layout and the number of shards. Retry while Redis is away.

    Of a queue with several shards, the home or one shard that answers is enough: each says the number.

    Raises:
        SettingsError: this Redis will not serve a worker, whatever time passes.
    """
    info = await availability.retry_until_up(lambda: _read_first_info(shards), "the start", is_starting=True)
    if is_cluster(info) and not follows_cluster(shards.home):
        raise SettingsError(f"{DSN}: {CLUSTER.problem}; {CLUSTER.remedy}")
    for warning in startup_warnings(info):
        log.warning("%s", warning, extra=log_fields(Event.UNSAFE_REDIS))
    try:
        await availability.retry_until_up(lambda: _check_layouts(shards), "the start", is_starting=True)
    except LayoutMismatch as exc:
        raise SettingsError(str(exc)) from exc


async def _read_first_info(shards: Shards[Any]) -> dict[str, Any]:
    """Return the reply to INFO of the home, or, if that is away, of the first shard that answers.

    Raises:
        RedisError: none of them answers; the error is the home's.
    """
    errors: list[Exception] = []
    for client in reversed(list(shards.all())):
        try:
            await client.ping()
            return await _read_info(client)
        except (RedisError, OSError) as exc:
            errors.append(exc)
    raise errors[0]


async def _check_layouts(shards: Shards[Any]) -> None:
    """Check the home and each shard that answers.

    Raises:
        LayoutMismatch: the queue has another number of shards, or another version wrote it.
        RedisError: none of them answers, or one gives an error that stays until somebody corrects it.
    """
    found = await asyncio.gather(*(_check_layout(client) for client in shards.all()), return_exceptions=True)
    errors = [error for error in found if isinstance(error, BaseException)]
    for error in errors:
        if not isinstance(error, RedisError | OSError) or explain(error).permanent:
            raise error
    if len(errors) == len(found):
        raise errors[-1]


async def _check_layout(client: Redis) -> None:
    await check_shards(client)
    keys = keyspace_of(client)
    await execute(client, with_layout_check(client.connection_pool, keys, EXISTS(keys.layout)))


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
