"""A worker and a Redis that is slow to answer, answers nothing for a while, or holds what nobody can read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from redis.exceptions import BusyLoadingError, NoPermissionError, OutOfMemoryError
from redis.exceptions import ConnectionError as RedisConnectionError

from producers.contract import keyspace
from producers.contract.codec import deserialize, serialize
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process import lane_worker
from worker.queue import redis_retry

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_waiting_for_the_bell_is_not_taken_for_a_redis_that_is_away(
    valkey: ArqRedis, valkey_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a command may take less time than an idle worker would wait."""
    async with rig_on(valkey, tmp_path) as rig, rig.working(redis_timeout_s=0.6) as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        assert worker._drain is not None
        impatient = open_redis(valkey_dsn, ArqRedis, timeout_s=0.6)
        monkeypatch.setattr(worker._drain, "_redis", impatient)

        try:
            assert await worker._drain._ring() is False
        finally:
            monkeypatch.undo()
            await impatient.aclose()


async def test_control_jobs_are_served_again_after_redis_failed_many_times_in_mid_start(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq counts a job as started before it has talked to Redis; each failure there must not cost a place."""
    monkeypatch.setattr(lane_worker, "CONTROL_POLL_S", 0.01)
    valkey.job_serializer, valkey.job_deserializer = serialize, deserialize
    async with rig_on(valkey, tmp_path) as rig, rig.working() as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        failures = iter(range(lane_worker.CONTROL_JOBS + 2))
        pipeline = worker.pool.pipeline

        def failing(*args: Any, **options: Any) -> Any:
            task = asyncio.current_task()
            if task is worker.main_task and next(failures, None) is not None:
                raise RedisConnectionError("gone")
            return pipeline(*args, **options)

        monkeypatch.setattr(worker.pool, "pipeline", failing)
        job = await valkey.enqueue_job("submit", msgspec.to_builtins(change("1002")), _job_id="c1")
        assert job is not None

        assert (await job.result(timeout=5, poll_delay=0.05))["jobId"] == "c1.change"


async def test_a_burst_ends_although_a_lane_cannot_be_read(valkey: ArqRedis, tmp_path: Path) -> None:
    """It would wait for somebody to mend it."""
    async with rig_on(valkey, tmp_path) as rig:
        await valkey.set(keyspace.LANE + "1001:t1", "no list")
        await valkey.zadd(keyspace.SCHEDULE, {"1001:t1": 1})
        other = await rig.producer.enqueue(change("1002"))
        worker = rig.worker()

        try:
            async with asyncio.timeout(4):
                await worker.async_run()
        finally:
            await worker.close()

        assert (await other.result(timeout=0)).applied


async def test_a_cancellation_that_redis_py_swallows_does_not_keep_the_worker_from_stopping(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 `asyncio.wait_for` drops one that comes as its future is done, and redis-py sends with it."""
    polled = asyncio.Event()

    async def swallowing(*_: object, **__: object) -> list[bytes]:
        polled.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    async with rig_on(valkey, tmp_path) as rig:
        worker = rig.worker(burst=False)
        monkeypatch.setattr(worker.pool, "zrangebyscore", swallowing)
        running = asyncio.create_task(worker.async_run())
        await polled.wait()

        worker.handle_sig_wait_for_completion(SIGTERM)

        try:
            async with asyncio.timeout(5):
                await asyncio.wait({running})
            assert running.cancelled()
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)


async def test_an_outage_of_hours_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries 1, 2, 4, 8 and 16 are told, each as what it is, and that it is over."""
    monkeypatch.setattr(redis_retry, "LONGEST_PAUSE_S", 0.001)
    errors: list[Exception] = [RedisConnectionError("gone")] * 3 + [NoPermissionError("no right")] * 4
    errors += [BusyLoadingError("loading")] * 8 + [OutOfMemoryError("full")] * 2

    async def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    with caplog.at_level("INFO", logger="worker.queue.redis_retry"):
        assert await redis_retry.retry_until_up(ask) == "answer"

    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" (")[0] for line in lines] == [
        "Redis does not answer",
        "Redis does not answer",
        "Redis's ACL does not let this worker do that, ops/redis.acl shows what it needs",
        "Redis does not answer",
        "Redis refuses",
        "Redis answers again, at try 18",
    ]
