"""Cron jobs where arq's queue is not served: when they run, and on how many workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import CronJob, cron

from producers.contract.keyspace import Keyspace
from tests.support.manual_clock import ManualClock
from worker.process.cron import MAX_LATE_S, RUN_TTL_MS, CronRunner
from worker.queue.redis_retry import RedisAvailability

KEYS = Keyspace("{queue}")
START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Worker:
    """A process's cron jobs."""

    def __init__(self, redis: ArqRedis, job: CronJob) -> None:
        redis.connection_pool.keyspace = KEYS  # type: ignore[attr-defined]  # as a DSN of a cluster does
        self.tasks: dict[str, asyncio.Task[Any]] = {}
        availability = RedisAvailability(ManualClock())
        self._runner = CronRunner([job], redis, availability, tasks=self.tasks, ctx={"producer": "p"}, timeout_s=0.05)

    async def at(self, moment: datetime) -> None:
        """Look at the clock, and wait for what was started."""
        self._runner.start_due(moment)
        await asyncio.gather(*self.tasks.values())
        self.tasks.clear()


def every_second(job: Any, **options: Any) -> CronJob:
    return cron(job, name="tick", second=None, microsecond=0, **options)


@pytest.mark.parametrize(("unique", "runs"), [(True, 1), (False, 2)])
async def test_a_job_runs_once_over_all_workers_at_each_of_its_times(redis: ArqRedis, unique: bool, runs: int) -> None:
    """One that is not unique runs once on each; none runs before its time."""
    seen: list[dict[str, Any]] = []

    async def tick(ctx: dict[str, Any]) -> None:
        seen.append(ctx)

    workers = [Worker(redis, every_second(tick, unique=unique)) for _ in range(2)]
    counts = []
    for moment in (START, START + SECOND / 2, START + SECOND, START + 2 * SECOND):
        await asyncio.gather(*(worker.at(moment) for worker in workers))
        counts.append(len(seen))

    assert counts == [0, 0, runs, 2 * runs]
    assert [seen[0][name] for name in ("producer", "job_try", "enqueue_time")] == ["p", 1, START + SECOND]
    assert len({ctx["job_id"] for ctx in seen}) == 2


async def test_the_key_of_a_run_is_the_queue_s_and_expires(redis: ArqRedis) -> None:
    """An hour later, when no worker can be late any more."""

    async def tick(_: dict[str, Any]) -> None: ...

    worker = Worker(redis, every_second(tick, run_at_startup=True))
    await worker.at(START)

    (key,) = await redis.keys("*")
    assert key.decode() == f"{KEYS.cron_runs}tick:{int(START.timestamp() * 1000)}"
    assert 0 < await redis.pttl(key) <= RUN_TTL_MS
    assert RUN_TTL_MS > 2000 * MAX_LATE_S


@pytest.mark.parametrize("fault", ["error", "too long"])
async def test_a_run_that_fails_is_logged_and_the_next_one_takes_place(
    fake_redis: ArqRedis, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception, or a run that is longer than its limit."""
    runs: list[object] = []

    async def tick(ctx: object) -> None:
        runs.append(ctx)
        if fault == "error":
            raise LookupError("nothing there")
        await asyncio.Event().wait()

    worker = Worker(fake_redis, every_second(tick))
    for seconds in range(3):
        await worker.at(START + seconds * SECOND)

    assert len(runs) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all("runs again at its next time" in record.message for record in caplog.records)


async def test_runs_that_were_missed_for_long_are_left_out(fake_redis: ArqRedis) -> None:
    """As after a machine's sleep: their keys may have expired, and another worker may have run them."""
    runs: list[datetime] = []

    async def tick(ctx: dict[str, Any]) -> None:
        runs.append(ctx["enqueue_time"])

    worker = Worker(fake_redis, every_second(tick))
    await worker.at(START)
    woken = START + timedelta(hours=2)
    await worker.at(woken)
    await worker.at(woken)

    assert [woken - due for due in runs] == [timedelta(seconds=MAX_LATE_S - 1)]
