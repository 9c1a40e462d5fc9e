"""How many connections producers hold, on a server with few of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import TimeoutError as RedisTimeoutError

from ops.redis_server import Valkey
from producers import Producer, ProducerSettings, QueueUnavailable
from producers.sync import Producer as PlainProducer
from producers.transport import idle, notifications
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes

MAX_CLIENTS = 60
TEN = ProducerSettings(redis_connections=10)
FOUR = ProducerSettings(redis_connections=4)
WITHIN_S = 30.0
LARGE = b"x" * 64 * 1024 * 1024
"""More than the system's buffers hold."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server that takes few clients."""
    with Valkey(tmp_path / "redis", ("appendonly no", f"maxclients {MAX_CLIENTS}")) as server:
        yield server


@pytest.fixture
async def operator(server: Valkey) -> AsyncIterator[ArqRedis]:
    """A client that looks at the server, over one connection."""
    client = open_redis(server.dsn, ArqRedis, timeout_s=WITHIN_S)
    await client.ping()
    yield client
    await client.aclose()


async def opened(operator: ArqRedis) -> int:
    """Return how many connections the server has ever taken, the operator's included."""
    count: int = (await operator.info("stats"))["total_connections_received"]
    return count


async def at_once(calls: int, call: Callable[[int], Any]) -> list[Any]:
    """Call it in as many threads."""
    with ThreadPoolExecutor(calls) as threads:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(threads, call, number) for number in range(calls)))


async def test_concurrent_calls_share_a_bounded_number_of_connections(server: Valkey, operator: ArqRedis) -> None:
    """Ten times as many calls as the server takes clients: all succeed, also after all connections were cut."""
    before = await opened(operator)
    async with Producer.connect(server.dsn, TEN) as producer:
        for _ in range(2):
            await asyncio.gather(*(producer.enqueue(change(str(user))) for user in range(10 * MAX_CLIENTS)))
            assert await operator.execute_command("CLIENT", "KILL", "TYPE", "normal") <= 10  # type: ignore[no-untyped-call]
        await asyncio.gather(*(producer.enqueue(change()) for _ in range(10 * MAX_CLIENTS)))

    assert await opened(operator) - before <= 3 * 10


async def test_threads_share_a_bounded_number_of_connections(server: Valkey, operator: ArqRedis) -> None:
    """More threads than the server takes clients: all calls succeed, also after all connections were cut."""
    before = await opened(operator)
    with PlainProducer.connect(server.dsn, TEN) as producer:
        for _ in range(2):
            await at_once(2 * MAX_CLIENTS, lambda user: producer.enqueue(change(str(user))))
            assert await operator.execute_command("CLIENT", "KILL", "TYPE", "normal") <= 10  # type: ignore[no-untyped-call]
        await at_once(2 * MAX_CLIENTS, lambda _: producer.enqueue(change()))

    assert await opened(operator) - before <= 3 * 10


async def test_a_caller_that_gets_no_connection_learns_the_setting(server: Valkey) -> None:
    """Within its time-out, or as long as it is told to wait."""
    settings = ProducerSettings(redis_connections=2, redis_timeout_s=0.1)
    for wait_s in (0.0, WITHIN_S):
        async with Producer.connect(server.dsn, settings, wait_s=wait_s) as producer:
            pool = producer._redis.connection_pool
            held = [await pool.get_connection() for _ in range(2)]
            calling = asyncio.create_task(producer.enqueue(change()))
            if wait_s:
                await asyncio.sleep(2 * settings.redis_timeout_s)  # a call that waits no longer would have failed
                await pool.release(held.pop())
                await calling
            else:
                with pytest.raises(QueueUnavailable, match=r"no connection to Redis was free .*REDIS_CONNECTIONS"):
                    await calling
            for connection in held:
                await pool.release(connection)


async def test_idle_connections_are_given_back(
    server: Valkey, operator: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a further call, by both kinds of producers; the subscription too, when nobody waits any more."""
    monkeypatch.setattr(idle, "MAX_IDLE_S", 0.05)
    monkeypatch.setattr(notifications, "SILENCE_S", 0.05)
    producer, plain = Producer.connect(server.dsn, TEN), PlainProducer.connect(server.dsn, TEN)
    jobs = await asyncio.gather(*(producer.enqueue(change(str(user))) for user in range(50)))
    await asyncio.gather(*(job.result(timeout=0.01) for job in jobs), return_exceptions=True)
    await at_once(20, lambda user: plain.enqueue(change(str(user))))

    async with asyncio.timeout(WITHIN_S):
        while len(await operator.client_list()) > 1:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)

    await producer.enqueue(change())
    await asyncio.to_thread(plain.enqueue, change())
    await producer.close()
    plain.close()


async def test_waiters_leave_connections_to_calls(server: Valkey, operator: ArqRedis) -> None:
    """Of four connections, many streams and a listener hold some, and calls succeed meanwhile."""
    lanes = Lanes(operator)
    async with Producer.connect(server.dsn, FOUR) as producer, asyncio.timeout(WITHIN_S):
        batch = await producer.fan_out(numbered(3), batch_id="b")
        jobs = (await producer.enqueue_many(change(str(user)) for user in range(20))).jobs
        streams = [asyncio.create_task(_read(producer)) for _ in range(20)]
        waiting = asyncio.gather(*(job.result() for job in jobs))
        for _ in range(20):
            await producer.enqueue(change("other"))
        while claims := await lanes.claim():
            await asyncio.gather(*(lanes.done(claim) for claim in claims))

        assert len(await waiting) == 20
        assert await asyncio.gather(*streams) == [3] * 20
        assert (await batch.wait()).complete


async def _read(producer: Producer) -> int:
    return len([result async for result in producer.batch("b").results()])


async def test_waiting_threads_leave_connections_to_calls(server: Valkey, operator: ArqRedis) -> None:
    """Of four connections, subscriptions of waiting threads hold two; the other threads poll."""
    lanes = Lanes(operator)
    with PlainProducer.connect(server.dsn, FOUR) as producer:
        jobs = producer.enqueue_many(change(str(user)) for user in range(20)).jobs
        waiting = asyncio.create_task(at_once(20, lambda number: jobs[number].result(WITHIN_S)))
        for _ in range(20):
            await asyncio.to_thread(producer.enqueue, change("other"))
        while claims := await lanes.claim():
            await asyncio.gather(*(lanes.done(claim) for claim in claims))

        assert [result.job_id for result in await waiting] == [job.job_id for job in jobs]


async def test_a_command_is_sent_whole_whatever_its_size(operator: ArqRedis) -> None:
    """Also one that the system does not take at once."""
    await operator.set("large", LARGE)
    assert await operator.get("large") == LARGE


async def test_sending_a_large_command_to_a_server_that_hangs_times_out(server: Valkey, operator: ArqRedis) -> None:
    """The system takes a part of it. The rest follows when the server reads again, so the command may still run."""
    hurried = open_redis(server.dsn, ArqRedis, timeout_s=0.2)
    await hurried.ping()
    server.freeze()
    with pytest.raises(RedisTimeoutError, match=r"writing|reading"):  # by the release of Python
        await hurried.set("large", LARGE)
    server.thaw()
    async with asyncio.timeout(WITHIN_S):
        while not await operator.exists("large"):  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.01)
    await hurried.aclose()
