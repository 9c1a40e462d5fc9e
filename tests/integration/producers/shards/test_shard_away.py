"""Calls that need only some of the shards, while another one is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from ops.redis_server import free_port
from producers import Cancellation, DeadLetterNotFound, Outcome, Producer, QueueUnavailable
from producers.contract.shards import shard_of
from producers.queue.jobs import JobState
from producers.sync import Producer as PlainProducer
from producers.transport.shards import Shards, open_shards
from tests.support.changes import change
from tests.support.sharded import SHARDS, ShardedLanes, with_first_at

AWAY, HERE, HERE_TOO = (
    next(user for user in map(str, range(1000, 2000)) if shard_of(user, SHARDS) == number) for number in range(3)
)
HANGS_S = 600.0


@pytest.fixture
async def hanging(producer: Producer, clients: Shards[Redis]) -> AsyncIterator[Producer]:
    """The same producer, for which the first shard accepts connections and does not answer."""
    never = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    await producer.enqueue(change(HERE), job_id="first")
    async with await asyncio.start_server(hang, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        found = with_first_at(clients, f"redis://127.0.0.1:{port}", timeout_s=HANGS_S)
        yield Producer(found)
        await found.clients[0].aclose()
        never.set()


async def test_a_change_in_another_shard_is_found_while_one_hangs(hanging: Producer, lanes: ShardedLanes) -> None:
    """Its state, details and result, and it is cancelled; nobody waits for the shard that is away."""
    await hanging.enqueue(change(HERE_TOO), job_id="second")
    async with asyncio.timeout(HANGS_S / 10):
        queued = await hanging.job("first").status()
        details = await hanging.job("first").details()
        cancellation = await hanging.job("second").cancel()
        await lanes.drain(Outcome.REJECTED)
        result = await hanging.job("first").result(timeout=30)
        letter = await hanging.dead.get("first")

    assert queued.state is JobState.QUEUED
    assert details.change == change(HERE)
    assert cancellation is Cancellation.CANCELLED
    assert result.outcome is Outcome.REJECTED
    assert letter.job_id == "first"


async def test_many_changes_are_enqueued_while_a_shard_that_gets_none_hangs(hanging: Producer) -> None:
    """Its clock is not asked."""
    async with asyncio.timeout(HANGS_S / 10):
        report = await hanging.enqueue_many([change(HERE), change(HERE_TOO)])

    assert (len(report.jobs), report.refused) == (2, [])


async def test_whether_a_change_is_in_the_shard_that_is_away_is_not_known(
    producer: Producer, clients: Shards[Redis]
) -> None:
    """It is not said to be unknown, as it is when all answer."""
    await producer.enqueue(change(AWAY), job_id="there")
    found = with_first_at(clients, f"redis://127.0.0.1:{free_port()}")
    job = Producer(found).job("there")

    for call in (job.status, job.details, job.result, job.cancel):
        with pytest.raises(QueueUnavailable, match="change there"):
            await call()
    await found.clients[0].aclose()
    with pytest.raises(DeadLetterNotFound):
        await producer.dead.get("there")


async def test_the_sync_producer_finds_a_change_while_another_shard_is_away(
    producer: Producer, valkey_dsn: str
) -> None:
    """And says so if it does not."""
    await producer.enqueue(change(HERE), job_id="here")
    plain = open_shards(valkey_dsn, PlainRedis, shards=SHARDS, keyspace=None, timeout_s=5)
    found = with_first_at(plain, f"redis://127.0.0.1:{free_port()}")

    def look() -> JobState:
        with pytest.raises(QueueUnavailable, match="reading change nowhere"):
            PlainProducer(found).job("nowhere").status()
        return PlainProducer(found).job("here").status().state

    assert await asyncio.to_thread(look) is JobState.QUEUED
    for client in (*plain.all(), found.clients[0]):
        client.close()
