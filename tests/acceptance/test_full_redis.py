"""A small Redis that is filled, first by a producer and then by somebody else, is drained by the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS
from ops.keys import KEYS
from ops.stack import Stack, User, write_credentials
from producers import Producer, QueueFull, SettingsChange
from producers.transport.dsn import open_redis
from producers.transport.redis_errors import FULL, refusal_code
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change, setting
from tests.support.redis_servers import new_server, on_every_server

pytestmark = on_every_server

ROOM = 3 * 1024 * 1024
CHANGES = 5_000
"""Far more than there is room for."""


@pytest.fixture
async def small(binary: str | None, tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a server that has room for some hundred changes."""
    with new_server(tmp_path, binary) as server:
        client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + ROOM)
        yield client
        await client.aclose()


def large_changes() -> list[SettingsChange]:
    """Changes of ten settings, of all users in turn."""
    settings = [setting(symbol=f"S{number}USDT") for number in range(10)]
    return [
        SettingsChange(user_id=USERS[number % len(USERS)], trader_id=f"t{number % 400}", settings=settings)
        for number in range(CHANGES)
    ]


async def fill(redis: Redis) -> None:
    """Write other data until Redis refuses it."""

    async def write_all() -> None:
        for number in range(CHANGES):
            await redis.set(f"other:{number}", "x" * 20_000)

    with pytest.raises(ResponseError) as caught:
        await write_all()
    assert refusal_code(caught.value) == FULL


async def test_a_full_redis_is_drained_and_accepts_changes_again(small: Redis, tmp_path: Path) -> None:
    """The producer is refused early, and its accepted changes all end; no worker stops.

    Results repeat the settings, so that room is made only by their expiry, which the test does not wait for.
    """
    dsn = f"redis://127.0.0.1:{small.connection_pool.connection_kwargs['port']}/0"
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    log_path = tmp_path / "log"
    started = Stack(dsn, credentials, credentials, DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, log_path)
    async with started as stack, Producer.connect(dsn) as producer:
        with pytest.raises(QueueFull) as caught:
            await producer.enqueue_many(large_changes())
        jobs = caught.value.jobs
        assert len(jobs) == await _queued(small) > 0
        await fill(small)
        with pytest.raises(QueueFull):
            await producer.enqueue(change())

        async with asyncio.timeout(WITHIN_S):
            workers = await stack.start_workers(2)
            results = [await job.result() for job in jobs]
            await small.delete(*[f"other:{number}" for number in range(CHANGES)])
            await small.delete(*[KEYS.result + job.job_id for job in jobs])
            after = await (await producer.enqueue(change())).result()

    log = log_path.read_text()
    assert [worker.returncode for worker in workers] == [0, 0], log
    assert all(result.applied for result in [*results, after])
    assert "Traceback" not in log


async def _queued(redis: Redis) -> int:
    return sum([1 async for _ in redis.scan_iter(f"{KEYS.job}*", count=1000)])
