"""Clients that the caller made: those a producer can use, and those it refuses."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis import Redis as PlainRedis
from redis import RedisCluster as PlainRedisCluster
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster

from producers import InvalidArgument, Producer, ProducerSettings, QueueUnavailable
from producers.sync import Producer as PlainProducer
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes

WITHIN_S = 20.0
DSN = "redis://:hush@cache/0"

REFUSED = [
    (Producer, Redis.from_url(DSN, decode_responses=True), "pass a client without it"),
    (Producer, Redis.from_url(DSN, encoding="utf-16"), "encoding=utf-16: keys and scripts are UTF-8"),
    (Producer, Redis.from_url(DSN, protocol=3), "protocol=3: replies have another form"),
    (Producer, ArqRedis.from_url(DSN + "?protocol=3"), "pass a client with protocol=2"),
    (
        Producer,
        PlainRedis.from_url(DSN),
        "needs producers.sync.Producer; pass a redis.asyncio.Redis",
    ),
    (Producer, RedisCluster.__new__(RedisCluster), 'use Producer.connect("redis+cluster://host:6379,host:6379")'),
    (Producer, Redis.from_url(DSN).pipeline(), "a pipeline is not a client"),
    (Producer, DSN, "not a client of Redis; pass a redis.asyncio.Redis, or use Producer.connect(dsn)"),
    (PlainProducer, PlainRedis.from_url(DSN, decode_responses=True), "pass a client without it"),
    (PlainProducer, PlainRedis.from_url(DSN, protocol=3), "protocol=3: replies have another form"),
    (PlainProducer, Redis.from_url(DSN), "an asynchronous client needs producers.Producer; pass a redis.Redis"),
    (
        PlainProducer,
        PlainRedisCluster.__new__(PlainRedisCluster),
        'use Producer.connect("redis+cluster://host:6379,host:6379")',
    ),
]


@pytest.mark.parametrize(("producer", "client", "says"), REFUSED, ids=[says for _, _, says in REFUSED])
def test_a_client_that_cannot_be_used_is_refused_at_once(producer: Any, client: Any, says: str) -> None:
    """The message says what to pass instead, and shows no password."""
    with pytest.raises(InvalidArgument, match=re.escape(says)) as caught:
        producer(client)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("producer", "client"), [(Producer, Redis.from_url(DSN)), (PlainProducer, PlainRedis.from_url(DSN))]
)
def test_a_client_whose_keys_have_no_tag_is_refused_where_the_settings_name_a_queue(producer: Any, client: Any) -> None:
    """Else the changes would go into another queue than the settings say."""
    with pytest.raises(InvalidArgument, match=r"names? the queue 'two'; use Producer\.connect\(dsn, settings\)"):
        producer(client, ProducerSettings(keyspace="two"))


@pytest.mark.parametrize("kind", ["single connection", "arq", "blocking pool"])
async def test_other_clients_of_the_callers_work(valkey_dsn: str, valkey: ArqRedis, kind: str) -> None:
    """With concurrent calls, a waiter, a fan-out and its results."""
    if kind == "arq":
        client: Redis = await create_pool(RedisSettings.from_dsn(valkey_dsn))
    elif kind == "single connection":
        client = Redis.from_url(valkey_dsn, single_connection_client=True)
    else:
        client = Redis.from_pool(BlockingConnectionPool.from_url(valkey_dsn, max_connections=3))
    lanes = Lanes(valkey)
    async with client, asyncio.timeout(WITHIN_S), Producer(client) as producer:
        jobs = await asyncio.gather(*(producer.enqueue(change(str(user))) for user in range(10)))
        batch = await producer.fan_out(numbered(10, "b"), batch_id="b")
        waiting = asyncio.gather(*(job.result() for job in jobs))
        while claims := await lanes.claim():
            await asyncio.gather(*(lanes.done(claim) for claim in claims))

        assert all(result.applied for result in await waiting)
        assert len([result async for result in batch.results()]) == 10


@pytest.mark.parametrize("blocking", [False, True], ids=["pool", "blocking pool"])
async def test_a_pool_of_the_callers_without_a_free_connection_is_named(valkey_dsn: str, blocking: bool) -> None:
    """It is the client's own limit; Redis answers."""
    kind: Any = partial(BlockingConnectionPool, timeout=0) if blocking else ConnectionPool
    options = Redis.from_url(valkey_dsn).connection_pool.connection_kwargs
    pool = kind(**options, max_connections=1)
    async with Redis.from_pool(pool) as client, Producer(client, ProducerSettings(redis_timeout_s=0.5)) as producer:
        held = await pool.get_connection()
        with pytest.raises(
            QueueUnavailable, match=r"no free connection .*; raise its max_connections, or use Producer"
        ):
            await producer.enqueue(change())
        await pool.release(held)


def test_a_synchronous_single_connection_works(valkey_dsn: str) -> None:
    """Subscriptions and transactions take connections of the pool."""
    with PlainRedis.from_url(valkey_dsn, single_connection_client=True) as client, PlainProducer(client) as producer:
        job = producer.enqueue(change())
        batch = producer.fan_out(numbered(10, "b"), batch_id="b")

        assert job.status().position == 0
        assert batch.progress().total == 10
