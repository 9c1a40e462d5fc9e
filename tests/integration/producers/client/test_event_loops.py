"""One producer in several event loops, threads and processes."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from producers import JobState, Producer, ResultTimeout, WrongEventLoop
from producers.sync import Producer as PlainProducer
from tests.support.changes import TRADER, change, setting
from tests.support.programs import run_program

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def run_and_close(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a loop that is closed without being shut down, as many programs do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function that runs event loops of its own."""
    return await asyncio.to_thread(function)


@pytest.mark.parametrize("run", [asyncio.run, run_and_close])
async def test_a_producer_works_in_one_event_loop_after_another(
    valkey_dsn: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """With its handles and its waiters, and without a warning about what the loops before left behind."""

    async def wait_in_vain(job: Any) -> None:
        with pytest.raises(ResultTimeout):
            await job.result(timeout=0.05)

    def loops() -> list[str]:
        producer = Producer.connect(valkey_dsn)
        job = run(producer.enqueue(change(), job_id="a"))
        run(wait_in_vain(job))
        run(producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"], batch_id="b"))
        run(wait_in_vain(job))
        state = run(job.status()).state
        run(producer.close())
        assert state is JobState.QUEUED
        return [handle.job_id for handle in (job, producer.job("a"))]

    with caplog.at_level(logging.WARNING):
        assert await in_thread(loops) == ["a", "a"]
        gc.collect()

    assert caplog.records == []


async def test_the_connections_of_a_loop_end_with_it(valkey_dsn: str, valkey: Redis) -> None:
    """`asyncio.run` closes them, although the producer stays open."""
    before = len(await valkey.client_list())
    producer = Producer.connect(valkey_dsn)

    await in_thread(lambda: asyncio.run(producer.enqueue(change())))

    while len(await valkey.client_list()) > before:  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0)


@pytest.mark.parametrize("own_client", [True, False])
async def test_two_threads_cannot_share_an_asynchronous_producer(valkey_dsn: str, own_client: bool) -> None:
    """The second one gets an error before anything is written; afterwards, it may use the producer."""
    client = None if own_client else Redis.from_url(valkey_dsn)
    producer = Producer.connect(valkey_dsn) if client is None else Producer(client)
    await producer.enqueue(change(), job_id="a")

    async def use(call: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(WrongEventLoop, match="nothing was written: make"):
            await call()

    for call in (
        lambda: producer.enqueue(change(), job_id="b"),
        lambda: producer.enqueue_many([change()]),
        lambda: producer.job("a").result(timeout=1),
        producer.paused,
    ):
        await in_thread(lambda call=call: asyncio.run(use(call)))  # type: ignore[misc]

    assert (await producer.job("b").status()).state is JobState.NOT_FOUND
    await producer.close()
    if client is None:
        await in_thread(lambda: asyncio.run(producer.enqueue(change(), job_id="b")))
    else:
        await client.aclose()


async def test_a_client_of_the_callers_belongs_to_its_event_loop(valkey_dsn: str) -> None:
    """Another loop gets an error before anything is written, although the first one has ended."""

    async def use(client: Redis) -> None:
        await Producer(client).enqueue(change())

    def loops() -> None:
        client: Redis = Redis.from_url(valkey_dsn)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use(client))
        with pytest.raises(WrongEventLoop, match="client and producer for each event loop"):
            asyncio.run(use(client))
        loop.run_until_complete(client.aclose())
        loop.close()

    await in_thread(loops)


def test_threads_share_a_synchronous_producer(valkey_dsn: str) -> None:
    """Twenty threads with five connections: all calls succeed, each change is there once."""
    with PlainProducer.connect(valkey_dsn) as producer, ThreadPoolExecutor(20) as threads:
        everybody = threading.Barrier(20)

        def enqueue(number: int) -> str:
            everybody.wait()
            jobs = [producer.enqueue(change(str(number)), job_id=f"{number}.{turn}") for turn in range(10)]
            return str([job.status().position for job in jobs])

        assert set(threads.map(enqueue, range(20))) == {str(list(range(10)))}


async def test_forked_processes_use_connections_of_their_own(valkey_dsn: str, tmp_path: Path) -> None:
    """Both kinds of producers, forked after their first call, the asynchronous one also within its event loop."""
    program = tmp_path / "forks.py"
    program.write_text(FORKS)

    printed = await run_program(program, valkey_dsn)

    with PlainRedis.from_url(valkey_dsn) as looking, PlainProducer(looking) as producer:
        states = [producer.job(f"{place}{number}").status().state for place in "ab" for number in range(6)]
    assert printed.split() == ["done"]
    assert set(states) == {JobState.QUEUED}


FORKS = """
import asyncio, os, sys, threading, warnings
from producers import CopySetting, Producer, SettingsChange
from producers.sync import Producer as PlainProducer

warnings.simplefilter("error")
SETTING = CopySetting(
    symbol="BTCUSDT", product_type="USDT-FUTURES", margin_type="trader", lever_type="trader", trace_type="count"
)


def change(user):
    return SettingsChange(user_id=user, trader_id="123", settings=[SETTING])


def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


plain = PlainProducer.connect(sys.argv[1])
plain.enqueue(change("1"), job_id="a0")
assert threading.active_count() == 1  # Python 3.12 warns of forks beside other threads
forked(lambda: plain.enqueue(change("1"), job_id="a1"))
plain.enqueue(change("1"), job_id="a2")

producer = Producer.connect(sys.argv[1])


async def within_a_loop():
    await producer.enqueue(change("2"), job_id="b0")
    forked(lambda: asyncio.run(producer.enqueue(change("2"), job_id="b1")))
    await producer.enqueue(change("2"), job_id="b2")


asyncio.run(within_a_loop())
forked(lambda: asyncio.run(producer.enqueue(change("2"), job_id="b3")))
asyncio.run(producer.enqueue(change("2"), job_id="b4"))
asyncio.run(producer.enqueue(change("2"), job_id="b5"))
for number in (3, 4, 5):
    forked(lambda: plain.enqueue(change("1"), job_id=f"a{number}"))
plain.close()
print("done")
"""
