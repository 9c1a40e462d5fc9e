"""The results of a batch as a stream: in the order of settlement, each once, resumable anywhere."""

from __future__ import annotations

import asyncio
import random

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers import Batch, BatchNotFound, JobResult, Outcome, Producer, QueueUnavailable
from producers.queue.results import PAGE_SIZE
from tests.support.changes import numbered
from tests.support.fan_outs import end_all, half_ended, read_all, to_users, users
from tests.support.lanes import Lanes


async def test_results_are_streamed_in_the_order_of_settlement_to_the_end(producer: Producer, lanes: Lanes) -> None:
    """A streamed result equals the one from the job's own handle."""
    batch, ended = await half_ended(producer, lanes)
    ended += await end_all(lanes)

    results = [result async for result in batch.results()]

    assert [result.job_id for result in results] == ended
    assert {result.outcome for result in results} == {Outcome.APPLIED, Outcome.REJECTED}
    assert results[0] == await producer.job(ended[0]).result(timeout=0)


async def test_a_stream_resumes_after_any_result(producer: Producer, lanes: Lanes) -> None:
    """Every cursor is distinct, including those before the first and after the last result."""
    batch, ended = await half_ended(producer, lanes)
    ended += await end_all(lanes)
    stream = batch.results()
    cursors = [stream.cursor]
    cursors += [stream.cursor async for _ in stream]
    cursors.append(stream.cursor)

    assert len(set(cursors)) == 21
    for number, cursor in enumerate(cursors[:-1]):
        assert await read_all(producer.batch("b").results(after=cursor)) == ended[number:]
    assert await read_all(producer.batch("b").results(after=cursors[-1])) == []


async def test_a_stream_resumes_in_the_middle_of_a_page(producer: Producer, lanes: Lanes) -> None:
    """The same stream goes on there too, as does a new one with its cursor."""
    batch, ended = await half_ended(producer, lanes)
    stream = batch.results()
    for _ in range(3):
        await anext(stream)

    ended += await end_all(lanes)

    assert await read_all(batch.results(after=stream.cursor)) == ended[3:]
    assert await read_all(stream) == ended[3:]


async def test_a_stream_waits_for_the_next_settlement(producer: Producer, lanes: Lanes) -> None:
    """It ends by itself when the batch is complete."""
    batch = await to_users(producer, users(2))
    stream = batch.results()
    async with asyncio.timeout(30):
        for claim in await lanes.claim():
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            await lanes.done(claim)
            assert (await waiting).job_id == claim.job_id
        assert await read_all(stream) == []


async def restless(batch: Batch) -> list[str]:
    """Read a batch to its end, resuming from the cursor after every few results."""
    read: list[str] = []
    stream = batch.results()
    while True:
        for _ in range(7):
            try:
                read.append((await anext(stream)).job_id)
            except StopAsyncIteration:
                return read
        stream = batch.results(after=stream.cursor)


async def paging(batch: Batch) -> list[str]:
    read: list[str] = []
    cursor = None
    while True:
        page = await batch.page(cursor, limit=5)
        read += [result.job_id for result in page.results]
        cursor = page.cursor
        if page.complete:
            return read


async def test_concurrent_readers_get_each_result_once(producer: Producer, lanes: Lanes) -> None:
    """Three of them, one resuming from its cursor after every few results."""
    batch = await to_users(producer, users(300))
    ended: list[str] = []

    async def settle() -> None:
        chance = random.Random(2)  # noqa: S311
        while claims := await lanes.claim(chance.randint(1, 20)):
            for claim in claims:
                await lanes.done(claim)
                ended.append(claim.job_id)

    async with asyncio.timeout(60):
        *reads, _ = await asyncio.gather(read_all(batch.results()), restless(batch), paging(batch), settle())

    assert len(ended) == 300
    assert all(sorted(read) == sorted(ended) for read in reads)


async def test_a_batch_of_more_than_a_page_is_read_to_its_end(producer: Producer, lanes: Lanes) -> None:
    """The stream and the failures fetch further pages by themselves."""
    batch = await producer.fan_out(numbered(PAGE_SIZE + 1), batch_id="b")
    await batch.cancel()

    assert len(await read_all(batch.results())) == PAGE_SIZE + 1
    assert len([failure async for failure in batch.failures()]) == PAGE_SIZE + 1
    assert await lanes.redis.keys(KEYS.heads + "*") == []


async def test_an_expired_result_is_listed_with_its_outcome(producer: Producer, lanes: Lanes) -> None:
    """Results have their own TTL; the stream keeps the job ID and outcome, but no user."""
    batch, ended = await half_ended(producer, lanes)
    await lanes.redis.delete(KEYS.result + ended[0])

    first, second, *_ = (await batch.page()).results

    assert (first.job_id, first.outcome, first.user_id) == (ended[0], Outcome.REJECTED, "")
    assert "expired" in first.message
    assert (second.job_id, second.user_id) == (ended[1], "1001")


async def test_failures_are_listed_without_waiting_for_the_rest(producer: Producer, lanes: Lanes) -> None:
    """Half of the batch is still queued."""
    batch, ended = await half_ended(producer, lanes)

    failures: list[JobResult] = [failure async for failure in batch.failures()]

    assert [failure.job_id for failure in failures] == ended[::2]
    assert {failure.outcome for failure in failures} == {Outcome.REJECTED}


async def test_a_stream_of_a_batch_that_expires_meanwhile_ends_with_an_error(producer: Producer, lanes: Lanes) -> None:
    """It would wait forever otherwise."""
    batch, _ = await half_ended(producer, lanes)
    stream = batch.results()
    for _ in range(10):
        await anext(stream)
    waiting = asyncio.create_task(anext(stream))
    await lanes.redis.delete(KEYS.batch + "b", KEYS.batch_results + "b")

    with pytest.raises(BatchNotFound):
        async with asyncio.timeout(30):
            await waiting


async def test_a_stream_resumes_after_redis_was_unreachable(valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same object goes on after the error, without a gap or a repeat."""
    producer, lanes = Producer(valkey), Lanes(valkey)
    batch, ended = await half_ended(producer, lanes)
    stream = batch.results()
    assert (await anext(stream)).job_id == ended[0]
    for _ in range(9):
        await anext(stream)
    pool = valkey.connection_pool
    with monkeypatch.context() as patched:
        await pool.disconnect()
        patched.setitem(pool.connection_kwargs, "port", free_port())
        with pytest.raises(QueueUnavailable, match="results of batch b"):
            await anext(stream)
    await pool.disconnect()

    ended += await end_all(lanes)

    assert await read_all(stream) == ended[10:]
