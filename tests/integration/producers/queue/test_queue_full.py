"""Changes are refused when Redis's memory is almost full, and none of them is in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ops.keys import KEYS
from producers import Producer, ProducerSettings, QueueFull, QueueUnavailable, SettingsChange
from producers.queue.chunks import CHUNK_SIZE
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.redis_servers import new_server, on_every_server

pytestmark = on_every_server

MIB = 1024 * 1024
ROOM = 4 * MIB
CHUNK_BYTES = CHUNK_SIZE * 2048
"""More than a chunk of these changes takes."""

ENDLESS = 50_000


@pytest.fixture
async def small(binary: str | None, tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a server that has room for some thousand changes."""
    with new_server(tmp_path, binary) as server:
        client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + ROOM)
        yield client
        await client.aclose()


@pytest.fixture
async def producer(small: Redis) -> AsyncIterator[Producer]:
    """A producer with the default settings."""
    async with Producer.connect(dsn_of(small)) as producer:
        yield producer


def dsn_of(redis: Redis) -> str:
    return f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


def endless() -> list[SettingsChange]:
    """More changes than there is room for."""
    return [change(str(user)) for user in range(ENDLESS)]


async def queued(redis: Redis) -> set[str]:
    """Return the job IDs of all queued changes."""
    return {key.decode().removeprefix(KEYS.job) async for key in redis.scan_iter(f"{KEYS.job}*", count=1000)}


async def assert_stopped_in_time(redis: Redis, percent: float = 85) -> None:
    """The memory in use is at the share: above it by less than a chunk, or below it by buffers that were given back."""
    info = await redis.info("memory")
    over = info["used_memory"] - info["maxmemory"] * percent / 100
    assert -CHUNK_BYTES / 2 < over < CHUNK_BYTES


async def test_many_changes_are_refused_early_and_those_accepted_are_known(small: Redis, producer: Producer) -> None:
    """The error has their handles, names the setting and the share, and says what to do."""
    with pytest.raises(QueueFull, match=r"changes were accepted, the others were not: Redis is almost full") as caught:
        await producer.enqueue_many(endless())

    jobs: list[Any] = caught.value.jobs
    assert isinstance(caught.value, QueueUnavailable)
    assert f"{len(jobs)} changes were accepted" in str(caught.value)
    assert "from 85% on (COPYTRADE_REDIS_FULL_PERCENT)" in str(caught.value)
    assert "raise maxmemory" in str(caught.value)
    assert {job.job_id for job in jobs} == await queued(small)
    assert len(jobs) > CHUNK_SIZE
    await assert_stopped_in_time(small)


async def test_single_changes_are_refused_early_and_confirmed_if_they_were_accepted(
    small: Redis, producer: Producer
) -> None:
    """A repeated submission is no new one, however full Redis is."""
    accepted: list[str] = []

    async def enqueue_all() -> None:
        for number in range(900_000, 900_000 + ENDLESS):
            await producer.enqueue(change(str(number)), job_id=str(number))
            accepted.append(str(number))

    with pytest.raises(QueueFull, match=r"^change 9\d+ was not accepted: Redis is almost full"):
        await enqueue_all()
    await assert_stopped_in_time(small)
    await small.config_set("maxmemory", (await small.info("memory"))["used_memory"] * 100 // 90)
    for _ in range(50):  # none of them is left out by the sampling
        with pytest.raises(QueueFull):
            await producer.enqueue(change("another"))

    assert await queued(small) == set(accepted)
    await small.config_set("maxmemory", "1")
    await small.delete(KEYS.almost_full)
    assert (await producer.enqueue(change(accepted[0]), job_id=accepted[0])).already_there
    await small.config_set("maxmemory", 100 * MIB)
    assert not (await producer.enqueue(change("another"))).already_there
    assert not await small.exists(KEYS.almost_full)


async def test_a_fan_out_is_refused_early_and_completed_later(small: Redis, producer: Producer) -> None:
    """Running it again adds what is missing, and confirms the rest, also while Redis is full."""
    users = [str(user) for user in range(ENDLESS)]
    arguments: dict[str, Any] = {"trader_id": "t1", "settings": list(change().settings), "batch_id": "b"}
    with pytest.raises(QueueFull, match=r"repeat with batch_id='b'") as caught:
        await producer.fan_out(user_ids=users, **arguments)
    members = [member.decode() async for member in small.sscan_iter(KEYS.batch_members + "b")]
    assert f"{len(members)} changes were accepted, the others were not" in str(caught.value)
    await assert_stopped_in_time(small)

    await small.config_set("maxmemory", "1")
    await small.delete(KEYS.almost_full)  # as a chunk does that finds memory again
    again = await producer.fan_out(user_ids=members, **arguments)
    assert again.report is not None
    assert (again.report.accepted, again.report.already_there) == (0, len(members))


async def test_the_share_is_a_setting_and_a_limit_is_not_needed(small: Redis) -> None:
    """Both kinds of producers; without `maxmemory`, or on a server that evicts keys, nothing is refused."""
    settings = ProducerSettings(redis_full_percent=50)
    with PlainProducer.connect(dsn_of(small), settings) as plain:
        with pytest.raises(QueueFull, match="from 50% on"):
            await asyncio.to_thread(plain.enqueue_many, endless())
        await assert_stopped_in_time(small, 50)
        for name, value in (("maxmemory-policy", "volatile-lru"), ("maxmemory", 0)):
            await small.config_set(name, value)
            assert len((await asyncio.to_thread(plain.enqueue_many, endless()[:1000])).jobs) == 1000


async def test_a_producer_that_waits_is_accepted_when_there_is_memory_again(small: Redis) -> None:
    """`wait_s` waits for it as for a Redis that is away; the changes are all there, once."""
    async with Producer.connect(dsn_of(small), wait_s=30) as waiting:
        asking = asyncio.create_task(waiting.enqueue_many(endless()[:8_000]))
        while not await small.exists(KEYS.almost_full):  # noqa: ASYNC110 - set by the submission
            await asyncio.sleep(0.01)
        await small.config_set("maxmemory", 100 * MIB)
        jobs = (await asking).jobs

    assert {job.job_id for job in jobs} == await queued(small)
    assert len(jobs) == 8_000
