"""The clients of Redis that a worker opens by its settings."""

from __future__ import annotations

from arq.connections import ArqRedis

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
