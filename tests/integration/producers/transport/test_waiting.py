"""Waiting for results: notified at once over one subscription, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from producers import JobState, Producer, ProducerSettings, ResultTimeout
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes

WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def _never_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a notification can end a wait."""
    monkeypatch.setattr("producers.transport.waiting.POLL_INTERVAL_S", 100 * WITHIN_S)


async def listening(producer: Producer, job_id: str) -> None:
    """Wait until the server has the subscription of a waiter."""
    while (channel := producer._shards[0].notifications.current()._channels.get(KEYS.job_done + job_id)) is None:  # noqa: ASYNC110 - a test looks in
        await asyncio.sleep(0)
    await channel.confirmed.wait()


@pytest.fixture
async def subscribed(producer: Producer) -> AsyncIterator[Producer]:
    """A producer whose subscription is up, because another change is awaited."""
    job = await producer.enqueue(change("another"))
    waiting = asyncio.create_task(job.result())
    await listening(producer, job.job_id)
    yield producer
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_waiting_for_a_result_times_out_and_the_change_stays_queued(subscribed: Producer) -> None:
    """The message says how long it waited, and that the change is not cancelled."""
    job = await subscribed.enqueue(change())

    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(ResultTimeout, match=f"{job.job_id} has not finished within 0.2 s; it stays queued"):
            await job.result(timeout=0.2)

    assert (await job.status()).state is JobState.QUEUED


async def test_a_timeout_of_zero_does_not_wait(valkey_dsn: str) -> None:
    """Not even while another task waits for the same job."""
    async with Producer.connect(valkey_dsn) as producer:
        job = await producer.enqueue(change("another"))
        waiting = asyncio.create_task(job.result())
        await listening(producer, job.job_id)
        looking = asyncio.create_task(job.result(timeout=0))

        _, pending = await asyncio.wait({looking}, timeout=WITHIN_S)

        for task in (looking, waiting):
            task.cancel()
        await asyncio.gather(looking, waiting, return_exceptions=True)
        assert not pending


async def test_a_timeout_of_zero_does_not_disturb_later_waits(producer: Producer, lanes: Lanes) -> None:
    """A later wait still subscribes and is notified."""
    job = await producer.enqueue(change())
    with pytest.raises(ResultTimeout):
        await job.result(timeout=0)
    waiting = asyncio.create_task(job.result())

    try:
        async with asyncio.timeout(WITHIN_S):
            await listening(producer, job.job_id)
            await lanes.done(await lanes.claim_one())
            assert (await waiting).applied
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await producer.close()


async def test_a_waiter_gets_the_result_at_once(producer: Producer, lanes: Lanes) -> None:
    """By the notification, not by polling."""
    job = await producer.enqueue(change())
    waiting = asyncio.create_task(job.result())
    await listening(producer, job.job_id)

    await lanes.done(await lanes.claim_one())

    async with asyncio.timeout(WITHIN_S):
        assert (await waiting).applied


async def test_many_waiters_for_one_change_all_get_its_result(producer: Producer, lanes: Lanes) -> None:
    """They share a subscription; one that gives up does not end it."""
    job = await producer.enqueue(change())
    impatient = asyncio.create_task(job.result())
    waiting = [asyncio.create_task(job.result()) for _ in range(5)]
    await listening(producer, job.job_id)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)

    await lanes.done(await lanes.claim_one())

    async with asyncio.timeout(WITHIN_S):
        assert all(result.applied for result in await asyncio.gather(*waiting))


async def test_waiting_again_after_giving_up_works(subscribed: Producer, redis: ArqRedis) -> None:
    """The channel is unsubscribed in between, twice."""
    lanes, producer = Lanes(redis), subscribed
    job = await producer.enqueue(change())
    async with asyncio.timeout(WITHIN_S):
        for _ in range(2):
            with pytest.raises(ResultTimeout):
                await job.result(timeout=0.2)
    waiting = asyncio.create_task(job.result())
    await listening(producer, job.job_id)

    for claim in await lanes.claim():
        await lanes.done(claim)

    async with asyncio.timeout(WITHIN_S):
        assert (await waiting).applied


async def test_the_subscription_ends_with_its_last_waiter(producer: Producer, lanes: Lanes) -> None:
    """A long-lived producer would otherwise collect channels, here and on the server."""
    job = await producer.enqueue(change())
    waiting = asyncio.create_task(job.result())
    await listening(producer, job.job_id)
    await lanes.done(await lanes.claim_one())
    await waiting

    assert producer._shards[0].notifications.current()._channels == {}
    async with asyncio.timeout(WITHIN_S):
        while await lanes.redis.pubsub_channels():  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0)


async def test_many_waiters_that_begin_at_once_all_get_their_results(valkey_dsn: str, valkey: ArqRedis) -> None:
    """50 changes are settled while their waiters are still subscribing."""
    lanes = Lanes(valkey)
    async with Producer.connect(valkey_dsn) as producer:
        jobs = (await producer.enqueue_many(change(str(number)) for number in range(50))).jobs
        waiting = [asyncio.create_task(job.result()) for job in jobs]
        await asyncio.gather(*(lanes.done(claim) for claim in await lanes.claim()))

        told, pending = await asyncio.wait(waiting, timeout=WITHIN_S)

        for task in pending:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert len(told) == 50


async def test_two_hundred_waiters_share_one_connection(subscribed: Producer, redis: ArqRedis) -> None:
    """A connection for each would exhaust the pool."""
    lanes = Lanes(redis)
    jobs = (await subscribed.enqueue_many(change(str(number)) for number in range(200))).jobs
    waiting = [asyncio.create_task(job.result()) for job in jobs]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(listening(subscribed, job.job_id) for job in jobs))
        while await lanes.redis.exists(KEYS.schedule):
            await asyncio.gather(*(lanes.done(claim) for claim in await lanes.claim()))

        results = await asyncio.gather(*waiting)

    assert [result.job_id for result in results] == [job.job_id for job in jobs]


async def test_a_waiter_whose_connection_was_cut_gets_its_result(valkey_dsn: str, valkey: ArqRedis) -> None:
    """The subscription is renewed, and every waiter polls once."""
    lanes = Lanes(valkey)
    async with Producer.connect(valkey_dsn) as producer:
        job = await producer.enqueue(change())
        waiting = asyncio.create_task(job.result())
        await listening(producer, job.job_id)

        await valkey.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        await lanes.done(await lanes.claim_one())

        async with asyncio.timeout(WITHIN_S):
            assert (await waiting).applied


async def test_a_failed_subscription_is_tried_again(
    valkey_dsn: str, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first waiter times out after a refused connection; the second one is notified."""
    lanes = Lanes(valkey)
    connect = PubSub.connect
    refused = [RedisConnectionError("max number of clients reached")]

    async def once_refused(self: PubSub) -> None:
        if refused:
            raise refused.pop()
        await connect(self)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(PubSub, "connect", once_refused)
    producer = Producer.connect(valkey_dsn)
    first, second = (await producer.enqueue_many(numbered(2))).jobs
    with pytest.raises(ResultTimeout):
        await first.result(timeout=0.1)
    waiting = asyncio.create_task(second.result())

    try:
        async with asyncio.timeout(WITHIN_S):
            await listening(producer, second.job_id)
            await lanes.done(await lanes.claim_one())
            await lanes.done(await lanes.claim_one())
            assert (await waiting).applied
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await producer.close()


async def test_a_quiet_subscription_is_not_dropped(valkey_dsn: str, valkey: ArqRedis) -> None:
    """Notifications during a reconnection would be missed."""

    async def subscribers() -> list[str]:
        return [client["id"] for client in await valkey.client_list(_type="pubsub")]

    producer = Producer.connect(valkey_dsn, ProducerSettings(redis_timeout_s=0.2))
    first, second = (await producer.enqueue_many(numbered(2))).jobs
    waiting = asyncio.create_task(first.result())
    await listening(producer, first.job_id)
    before = await subscribers()

    with pytest.raises(ResultTimeout):
        await second.result(timeout=0.7)

    assert await subscribers() == before
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await producer.close()


async def test_a_message_without_a_channel_does_not_end_the_subscription(
    valkey_dsn: str, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py takes any reply of one string for a pong."""
    get_message = PubSub.get_message
    stray = [{"type": "pong", "pattern": None, "channel": None, "data": b"OK"}]

    async def stray_first(self: PubSub, **options: Any) -> object:
        return stray.pop() if stray else await get_message(self, **options)

    monkeypatch.setattr(PubSub, "get_message", stray_first)
    lanes = Lanes(valkey)
    producer = Producer.connect(valkey_dsn)
    job = await producer.enqueue(change())
    waiting = asyncio.create_task(job.result())
    try:
        async with asyncio.timeout(WITHIN_S):
            await listening(producer, job.job_id)
            await lanes.done(await lanes.claim_one())
            assert (await waiting).applied
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if (reader := producer._shards[0].notifications.current()._reader) is not None and reader.done():
            reader.exception()
            producer._shards[0].notifications.current()._reader = None
        await producer.close()
