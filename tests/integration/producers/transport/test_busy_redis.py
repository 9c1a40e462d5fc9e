"""Producers while a script of somebody else blocks Redis, which answers BUSY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ops.redis_server import Valkey
from producers import JobState, Producer, QueueUnavailable
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered


@pytest.fixture
async def looking(tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a server of its own, which answers BUSY after 20 ms of a script."""
    with Valkey(tmp_path / "redis", ("lua-time-limit 20",)) as server:
        client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
        yield client
        await client.aclose()


async def test_a_caller_that_waits_gets_through_when_a_long_script_ends(looking: Redis) -> None:
    """Redis answers BUSY meanwhile, to new connections and in transactions too."""
    dsn = f"redis://127.0.0.1:{looking.connection_pool.connection_kwargs['port']}/0"
    async with Producer.connect(dsn, wait_s=30) as producer:
        with PlainProducer.connect(dsn, wait_s=30) as plain:
            (before,) = (await producer.enqueue_many([change()])).jobs
            endless: asyncio.Task[Any] = asyncio.create_task(looking.execute_command("EVAL", "while true do end", 0))  # type: ignore[no-untyped-call]
            async with Producer.connect(dsn) as impatient:
                while not await _is_busy(impatient):
                    pass
            asking = asyncio.gather(
                producer.enqueue(change(), job_id="a"),
                asyncio.to_thread(plain.enqueue, change(), job_id="b"),
                producer.enqueue_many(numbered(3, "1002")),
                before.status(),
                producer.pause(user_id="1003"),
            )
            await asyncio.sleep(0.3)
            assert not asking.done()
            await looking.script_kill()
            async with asyncio.timeout(20):
                one, other, many, status, was_new = await asking
            await asyncio.wait({endless})

    assert [one.already_there, other.already_there] == [False, False]
    assert (len(many.jobs), status.state, was_new) == (3, JobState.QUEUED, True)
    assert isinstance(endless.exception(), RedisError)


async def _is_busy(producer: Producer) -> bool:
    try:
        await producer.paused()
    except QueueUnavailable as exc:
        return "BUSY" in str(exc)
    return False
