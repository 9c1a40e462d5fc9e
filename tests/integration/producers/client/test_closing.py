"""What closing a producer closes."""

from __future__ import annotations

from arq.connections import ArqRedis

from producers import Producer
from tests.support.changes import change


async def test_closing_a_producer_leaves_the_callers_client_open(valkey: ArqRedis) -> None:
    """The caller's connection is used, and used again afterwards."""
    async with Producer(valkey) as producer:
        await producer.enqueue(change())
        before = await valkey.client_id()

    assert await valkey.client_id() == before


async def test_closing_a_producer_closes_the_client_that_connect_opened(valkey_dsn: str) -> None:
    """Its idle connections too."""
    async with Producer.connect(valkey_dsn) as producer:
        await producer.enqueue(change())
        connections = [entry[1] for entry in producer._redis.connection_pool.current()._idle._entries]  # type: ignore[attr-defined]
        assert [connection.is_connected for connection in connections] == [True]

    assert [connection.is_connected for connection in connections] == [False]
