"""Changes are refused when Redis's memory is almost full: in every shard, and none of them is in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from producers import Producer, ProducerSettings, QueueFull
from producers.contract.shards import shard_keyspaces
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.redis_servers import new_server
from tests.support.sharded import SHARDS

ROOM = 4 * 1024 * 1024
ENDLESS = [str(user) for user in range(50_000)]
KEYSPACES = shard_keyspaces("copytrade", SHARDS)


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a server that has room for some thousand changes."""
    with new_server(tmp_path, None) as server:
        client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + ROOM)
        yield client
        await client.aclose()


@pytest.fixture
async def producer(small: Redis) -> AsyncIterator[Producer]:
    """A producer of a queue with shards there."""
    port = small.connection_pool.connection_kwargs["port"]
    async with Producer.connect(f"redis://127.0.0.1:{port}/0", ProducerSettings(shards=SHARDS)) as producer:
        yield producer


async def found(redis: Redis, pattern: str) -> set[str]:
    """Return the rest of the keys of all shards that begin so."""
    prefixes = [f"{keys.tag}:{pattern}" for keys in KEYSPACES]
    return {
        key.decode().removeprefix(prefix)
        for prefix in prefixes
        async for key in redis.scan_iter(f"{prefix}*", count=1000)
    }


async def test_the_accepted_changes_are_known_in_the_given_order(small: Redis, producer: Producer) -> None:
    """Those of the chunks that were in flight to other shards, too."""
    with pytest.raises(QueueFull, match="changes were accepted, the others were not: Redis is almost full") as caught:
        await producer.enqueue_many([change(user) for user in ENDLESS], job_id=lambda each: f"{int(each.user_id):08d}")

    job_ids = [job.job_id for job in caught.value.jobs]
    assert f"{len(job_ids)} changes were accepted" in str(caught.value)
    assert job_ids == sorted(job_ids)
    assert set(job_ids) == await found(small, "arq:job:")


async def test_a_fan_out_is_completed_later(small: Redis, producer: Producer) -> None:
    """Running it again adds what is missing."""
    arguments: dict[str, Any] = {"trader_id": "t1", "settings": list(change().settings), "batch_id": "b"}
    with pytest.raises(QueueFull, match="repeat with batch_id='b'"):
        await producer.fan_out(user_ids=ENDLESS, **arguments)
    before = await producer.batch("b").progress()
    await small.config_set("maxmemory", 100 * ROOM)
    again = await producer.fan_out(user_ids=ENDLESS, **arguments)

    assert again.report is not None
    assert 0 < before.total < len(ENDLESS)
    assert (again.report.already_there, again.report.accepted) == (before.total, len(ENDLESS) - before.total)
    assert (await again.progress()).total == len(ENDLESS)
