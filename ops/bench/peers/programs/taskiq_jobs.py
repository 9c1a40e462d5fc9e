"""taskiq, with its Redis stream broker, on asyncio and on uvloop.

By its documentation (taskiq-python.github.io, "CLI"; README of taskiq-redis): the stream broker is the one that
acknowledges, by default when the result is saved, and has messages that were not acknowledged within `idle_timeout`, 10
minutes by default; `--max-prefetch` is for systems with high message rates; results should expire. Its command runs on
uvloop if that is installed (its extra `uv`), so the two set-ups are two environments. There is no call that enqueues
many, and `wait_result` polls every 0.2 s by default.

The command's own process starts the worker process, which is the only one (`--workers 1`, default 2).
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from job import Exchange
from protocol import JOBS_AT_ONCE, RECOVERY_S, REDIS_URL, Change, bounded, ready, run
from redis.asyncio import Redis
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

try:
    import uvloop
except ImportError:
    LOOP_FACTORY = None
else:
    LOOP_FACTORY = uvloop.new_event_loop

RESULT_POLL_S = 0.2
PREFIX = "result"
RECOVERY: dict[str, Any] = {}

results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(REDIS_URL, result_ex_time=3600, prefix_str=PREFIX)
if RECOVERY_S:
    RECOVERY = {"idle_timeout": 1000 * RECOVERY_S, "unacknowledged_lock_timeout": RECOVERY_S}
broker = RedisStreamBroker(REDIS_URL, **RECOVERY).with_result_backend(results)


@broker.task(task_name="apply")
async def apply(change: Change, context: Annotated[Context, TaskiqDepends()]) -> dict[str, Any]:
    """Do the job."""
    exchange: Exchange = context.state.exchange
    return await exchange.apply(change)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    """Open the session."""
    state.exchange = Exchange()
    ready()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    """Close the session."""
    await state.exchange.close()


class TaskiqQueue:
    """The queue of taskiq.

    Attributes:
        broker_name: where taskiq's command finds the broker.
    """

    broker_name = "taskiq_jobs:broker"

    def work(self) -> None:
        """Become taskiq's command."""
        command = str(Path(sys.executable).with_name("taskiq"))
        limits = ("--workers", "1", "--max-async-tasks", str(JOBS_AT_ONCE), "--max-prefetch", str(JOBS_AT_ONCE))
        place = ("--app-dir", str(Path(__file__).parent), "--log-level", "WARNING")
        os.execv(command, [command, "worker", self.broker_name, *limits, *place])  # noqa: S606 - of the environment

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        await broker.startup()
        yield
        await broker.shutdown()

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue each change by a call."""
        await bounded(apply.kiq(change) for change in changes)

    async def call(self, change: Change, poll_s: float | None) -> object:
        """Enqueue one; `wait_result` polls."""
        task = await apply.kiq(change)
        return (await task.wait_result(check_interval=poll_s or RESULT_POLL_S)).return_value

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        async with Redis.from_url(REDIS_URL) as redis:
            keys = {key async for key in redis.scan_iter(f"{PREFIX}:*", count=1000)}
        for key in keys:
            result = await results.get_result(key.decode().removeprefix(f"{PREFIX}:"))
            yield not result.is_err and result.return_value["applied"]


if __name__ == "__main__":
    run(TaskiqQueue(), LOOP_FACTORY)
