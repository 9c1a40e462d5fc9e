"""Producers and an unreachable Redis: an error at once or waiting for it, and never a change twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ops.keys import KEYS
from ops.redis_server import Valkey, free_port
from producers import Batch, Cancellation, JobResult, Outcome, Producer, ProducerSettings, QueueUnavailable
from producers.contract import keyspace
from producers.queue.cancel_messages import CANCEL
from producers.sync import Producer as PlainProducer
from producers.transport.connections import PrimaryDemoted
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes
from tests.support.relays import Relay, relay

QUICK = ProducerSettings(redis_timeout_s=0.5)
LANE = keyspace.lane("1001", "t1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server that can be stopped and started."""
    with Valkey(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def looking(server: Valkey) -> AsyncIterator[Redis]:
    """A client that is connected directly."""
    client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
async def between(server: Valkey) -> AsyncIterator[Relay]:
    """A relay, to which producers connect."""
    async with relay(server.port) as between:
        yield between


def dsn(between: Relay) -> str:
    return f"redis://127.0.0.1:{between.port}/0"


@contextmanager
def deaf_for_a_while(between: Relay, seconds: float = 1.2) -> Iterator[None]:
    """Lose the server's replies for longer than the time-out; it still runs what it is asked."""
    between.deaf = True
    again = asyncio.get_running_loop().call_later(seconds, setattr, between, "deaf", False)
    try:
        yield
    finally:
        again.cancel()
        between.deaf = False


async def test_a_change_whose_reply_was_lost_is_not_doubled(between: Relay, looking: Redis) -> None:
    """Both kinds of producers submit it again with the job ID chosen before the first try."""
    async with Producer.connect(dsn(between), QUICK, wait_s=20) as producer:
        await producer.paused()
        with deaf_for_a_while(between):
            job = await producer.enqueue(change())
    with PlainProducer.connect(dsn(between), QUICK, wait_s=20) as plain:
        await asyncio.to_thread(plain.paused)
        with deaf_for_a_while(between):
            other = await asyncio.to_thread(plain.enqueue, change())

    assert await Lanes(looking).queued(LANE) == [job.job_id, other.job_id]


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
async def test_many_changes_keep_their_order_when_replies_are_lost(between: Relay, looking: Redis, kind: str) -> None:
    """Chunks without a reply are submitted again in order and add only what is missing."""
    changes = numbered(2_600)
    if kind == "asynchronous":
        async with Producer.connect(dsn(between), QUICK, wait_s=20) as producer:
            await producer.paused()
            with deaf_for_a_while(between):
                jobs = [job.job_id for job in (await producer.enqueue_many(changes)).jobs]
    else:
        with PlainProducer.connect(dsn(between), QUICK, wait_s=20) as plain:
            await asyncio.to_thread(plain.paused)
            with deaf_for_a_while(between):
                jobs = [job.job_id for job in (await asyncio.to_thread(plain.enqueue_many, changes)).jobs]

    assert len(jobs) == 2_600
    assert await Lanes(looking).queued(LANE) == jobs


async def test_a_fan_out_goes_on_where_it_was_interrupted(between: Relay) -> None:
    """Replies of some chunks are lost, and each user still gets exactly one change."""
    async with Producer.connect(dsn(between), QUICK, wait_s=20) as producer:
        await producer.paused()
        users = [str(number) for number in range(10_000, 12_600)]
        template = change()
        with deaf_for_a_while(between):
            batch = await producer.fan_out(trader_id="t1", settings=list(template.settings), user_ids=users)
        progress = await batch.progress()

    assert progress.total == 2_600
    assert progress.queued == 2_600


async def test_a_cancellation_whose_reply_was_lost_is_not_retried(between: Relay) -> None:
    """A second one would say that there was nothing to cancel."""
    async with Producer.connect(dsn(between), QUICK, wait_s=30) as producer:
        job = await producer.enqueue(change())
        other = await producer.enqueue(change("1002"))
        assert await other.cancel() is Cancellation.CANCELLED, "the server knows the script"
        between.deaf_from = CANCEL.bind(KEYS).sha.encode()
        async with asyncio.timeout(20):
            with pytest.raises(QueueUnavailable, match=f"cancelling change {job.job_id}"):
                await job.cancel()
        between.deaf, between.deaf_from = False, None

        assert await job.cancel() is Cancellation.ENDED
        result = await job.result(timeout=0)

    assert result.outcome is Outcome.CANCELLED


async def test_a_caller_that_waits_gets_through_when_redis_is_back(server: Valkey) -> None:
    """Both kinds of producer call while Redis is down, and it starts a second later."""
    async with Producer.connect(server.dsn, QUICK, wait_s=30) as producer:
        with PlainProducer.connect(server.dsn, QUICK, wait_s=30) as plain:
            await asyncio.to_thread(server.stop)
            asking = asyncio.gather(
                producer.enqueue(change(), job_id="a"),
                asyncio.to_thread(plain.enqueue, change(), job_id="b"),
                producer.enqueue_many(numbered(3, "1002")),
                producer.batches(),
                producer.pause(user_id="1003"),
            )
            await asyncio.sleep(1)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(20):
                one, other, many, batches, was_new = await asking

    assert [one.already_there, other.already_there] == [False, False]
    assert len(many.jobs) == 3
    assert (batches, was_new) == ([], True)


async def test_a_producer_waits_for_redis_no_longer_than_wait_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument takes precedence over COPYTRADE_REDIS_WAIT_S; with zero a call does not wait."""
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    took_s: list[float] = []
    for variable, wait_s in (("600", 0), ("0.6", None), ("0", 0.6)):
        monkeypatch.setenv("COPYTRADE_REDIS_WAIT_S", variable)
        async with Producer.connect(nowhere, wait_s=wait_s) as producer:
            began_s = asyncio.get_running_loop().time()
            async with asyncio.timeout(60):
                with pytest.raises(QueueUnavailable, match="repeat it with job_id='a': Redis did not answer"):
                    await producer.enqueue(change(), job_id="a")
            took_s.append(asyncio.get_running_loop().time() - began_s)

    _, by_the_variable_s, by_the_argument_s = took_s
    assert min(by_the_variable_s, by_the_argument_s) >= 0.6


async def test_a_server_that_became_a_replica_is_left(server: Valkey, looking: Redis) -> None:
    """redis-py would keep the connection for ever."""
    async with Producer.connect(server.dsn, QUICK) as producer:
        await producer.enqueue(change())
        before = await producer._redis.client_id()
        await looking.execute_command("REPLICAOF", "127.0.0.1", free_port())  # type: ignore[no-untyped-call]
        with pytest.raises(QueueUnavailable, match="is now a replica") as caught:
            await producer.enqueue(change())
        await looking.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]

        assert isinstance(caught.value.__cause__, PrimaryDemoted)
        assert await producer._redis.client_id() != before
        await producer.enqueue(change())


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
async def test_readers_of_results_wait_through_a_restart(server: Valkey, looking: Redis, kind: str) -> None:
    """For one result and for a batch's stream; no error is raised and no result comes twice."""
    lanes = Lanes(looking)
    async with Producer.connect(server.dsn, QUICK) as filling:
        batch = await filling.fan_out([change(str(user)) for user in range(1001, 1005)], batch_id="b")
        one = await filling.enqueue(change("1009"))
    async with Producer.connect(server.dsn, QUICK, wait_s=30) as producer:
        with PlainProducer.connect(server.dsn, QUICK, wait_s=30) as plain:
            if kind == "asynchronous":
                results: Awaitable[Any] = asyncio.ensure_future(_all_of(producer.batch(batch.batch_id)))
                result: Awaitable[Any] = asyncio.ensure_future(producer.job(one.job_id).result())
            else:
                results = asyncio.ensure_future(asyncio.to_thread(lambda: list(plain.batch(batch.batch_id).results())))
                result = asyncio.ensure_future(asyncio.to_thread(plain.job(one.job_id).result))
            claims = await lanes.claim()
            for claim in claims[:2]:
                await lanes.done(claim, user_id=claim.lane.partition(":")[0])
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(0.7)
            await asyncio.to_thread(server.start)
            for claim in claims[2:]:
                await lanes.done(claim, user_id=claim.lane.partition(":")[0])
            async with asyncio.timeout(30):
                got = [one.user_id for one in await results]
                applied = (await result).applied

    assert sorted(got) == ["1001", "1002", "1003", "1004"]
    assert applied


async def _all_of(batch: Batch) -> list[JobResult]:
    return [result async for result in batch.results()]
