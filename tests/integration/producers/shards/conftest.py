"""A queue with four shards on one real server, in place of the queue without shards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from producers import Producer
from producers.transport.shards import Shards, open_shards
from tests.support.sharded import SHARDS, ShardedLanes


@pytest.fixture
async def clients(valkey_dsn: str) -> AsyncIterator[Shards[Redis]]:
    """The clients of a new queue."""
    clients: Shards[Redis] = open_shards(valkey_dsn, Redis, shards=SHARDS, keyspace=None, timeout_s=5)
    yield clients
    for client in clients.all():
        await client.aclose()


@pytest.fixture
async def producer(clients: Shards[Redis]) -> AsyncIterator[Producer]:
    """A producer with the default settings."""
    producer = Producer(clients)
    yield producer
    await producer.close()


@pytest.fixture
def lanes(clients: Shards[Redis]) -> ShardedLanes:
    """All lanes, without pacing."""
    return ShardedLanes(clients.clients)
