"""The clients of Redis that a worker opens by its settings, or is given."""

from __future__ import annotations

from arq.connections import ArqRedis

from producers.errors import SettingsError
from producers.settings import variable_name
from producers.transport.clients import keyspace_problem
from producers.transport.shards import Shards, open_shards
from worker.settings import WorkerSettings


def open_clients(settings: WorkerSettings) -> Shards[ArqRedis]:
    """Return clients for the queue that the settings name: of its home and of each shard.

    Raises:
        SettingsError: the DSN or the number of shards is invalid.
    """
    return open_shards(
        settings.redis_dsn,
        ArqRedis,
        shards=settings.shards,
        keyspace=settings.keyspace,
        timeout_s=settings.redis_timeout_s,
        max_connections=settings.redis_connections,
    )


def given_client(redis: ArqRedis, settings: WorkerSettings) -> Shards[ArqRedis]:
    """Return a client that a worker was given as that of its queue.

    Raises:
        SettingsError: the settings name another queue, or one with several shards.
    """
    if settings.shards > 1:
        raise SettingsError(
            f"{variable_name('shards')}: {settings.shards} shards need as many clients, and the worker was given one;"
            " leave out `redis`"
        )
    if problem := keyspace_problem(redis, settings.keyspace):
        raise SettingsError(
            f"{variable_name('keyspace')}: the client that the worker was given is of another queue: {problem};"
            " leave out `redis`, or make the client with open_redis(dsn, ArqRedis, keyspace=...)"
        )
    return Shards.single(redis)
