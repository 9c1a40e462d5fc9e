"""Clients of Redis that the caller made: which ones a producer can use."""

from __future__ import annotations

import asyncio
import codecs
import os
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redis import Redis as SyncRedis
from redis import RedisCluster as SyncRedisCluster
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.client import Pipeline as SyncPipeline

from producers.contract.keyspace import Keyspace
from producers.errors import InvalidArgument, WrongEventLoop
from producers.transport.pools import ClusterLoopPools, LoopPools

_loops: WeakKeyDictionary[Any, WeakSet[asyncio.AbstractEventLoop]] = WeakKeyDictionary()
"""The event loops in which producers have used the pools that callers made."""

UNTAGGED = Keyspace()

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_loops.clear)  # the parent's loops seem to run there for ever


def check_client(client: object, expected: type[Redis | SyncRedis], keyspace: str | None) -> None:
    """Check the client of a producer, which the caller may have made.

    Args:
        client: the client.
        expected: the class of clients that the producer uses.
        keyspace: the name of the queue in the producer's settings, if they have one.

    Raises:
        InvalidArgument: a producer cannot use the client. The message says what to pass instead.
    """
    problem = _problem(client, expected) or _queue_problem(client, keyspace)
    if problem:
        # Name the class: the value may be a DSN, which has a password.
        raise InvalidArgument("redis", problem, f"{type(client).__module__}.{type(client).__name__}")


def _problem(client: Any, expected: type[Redis | SyncRedis]) -> str:
    instead = f"pass a {expected.__module__.removesuffix('.client')}.Redis, or use Producer.connect(dsn)"
    match client:
        case RedisCluster() | SyncRedisCluster():
            return 'of a cluster only one node is used; use Producer.connect("redis+cluster://host:6379,host:6379")'
        case Pipeline() | SyncPipeline():
            return f"a pipeline is not a client; {instead}"
        case Redis() if expected is SyncRedis:
            return f"an asynchronous client needs producers.Producer; {instead}"
        case SyncRedis() if expected is Redis:
            return f"a synchronous client needs producers.sync.Producer; {instead}"
        case Redis() | SyncRedis():
            return _option_problem(client)
        case _:
            return f"not a client of Redis; {instead}"


def _option_problem(client: Any) -> str:
    encoder, protocol = client.get_encoder(), client.connection_pool.connection_kwargs.get("protocol") or 2
    if codecs.lookup(encoder.encoding).name != "utf-8":
        return f"encoding={encoder.encoding}: keys and scripts are UTF-8; pass a client with encoding='utf-8'"
    if encoder.decode_responses:
        return "decode_responses=True: changes are stored as bytes that are not text; pass a client without it"
    if str(protocol) != "2":
        return f"protocol={protocol}: replies have another form; pass a client with protocol=2, the default"
    return ""


def _queue_problem(client: Any, keyspace: str | None) -> str:
    problem = keyspace_problem(client, keyspace)
    return problem and f"{problem}; use Producer.connect(dsn, settings)"


def keyspace_problem(client: Redis | SyncRedis, keyspace: str | None) -> str:
    """Return why a client does not lead to the queue that settings name, or to one of its shards; "" if it does."""
    tag = keyspace_of(client).tag
    if keyspace is None or tag == f"{{{keyspace}}}" or tag.startswith(f"{{{keyspace}/"):
        return ""
    found = f"its keys have the tag {tag}" if tag else "its keys have no tag"
    return f"{found}, and the settings name the queue {keyspace!r}"


def keyspace_of(redis: Redis | SyncRedis) -> Keyspace:
    """Return the names of the keys in a client's Redis: the `keyspace` of its pool, or else the names without a tag."""
    keys: Keyspace = getattr(redis.connection_pool, "keyspace", UNTAGGED)
    return keys


def follows_cluster(redis: Redis) -> bool:
    """Return whether a client finds the node of a cluster that owns its slot."""
    return isinstance(redis.connection_pool, ClusterLoopPools)


def check_loop(redis: Redis) -> None:
    """Check that the running event loop can use a client, before anything is sent.

    Clients that `open_redis` made have a pool for each loop. The connections of one that the caller made belong to the
    loop that opened them.

    Raises:
        WrongEventLoop: the client has connections of another loop, or one that uses it is running in another thread.
    """
    pool: Any = redis.connection_pool
    if isinstance(pool, LoopPools):
        return
    loop = asyncio.get_running_loop()
    loops = _loops.setdefault(pool, WeakSet())
    connections = [redis.connection] if redis.connection else pool._available_connections[-1:]  # noqa: SLF001 - the one to be used
    owners = [getattr(getattr(connection, "_reader", None), "_loop", loop) for connection in connections]
    if any(owner is not loop for owner in owners) or any(other.is_running() for other in loops if other is not loop):
        raise WrongEventLoop(
            "the Redis client that this producer was given belongs to another event loop; nothing was written: make"
            " client and producer for each event loop, or use Producer.connect(dsn)"
        )
    loops.add(loop)
