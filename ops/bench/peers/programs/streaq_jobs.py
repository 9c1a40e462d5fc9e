"""streaq.

By its documentation (streaq.readthedocs.io, "Worker", "Task"; README and benchmarks of the repository) and its source,
7.2: a worker runs `concurrency` tasks at once, 16 by default, and prefetches as many; it acknowledges a task when its
result is written, and has those of a worker that has been silent for `idle_timeout`, 60 s by default. `enqueue_many`
sends many in a pipeline. Its benchmarks run on uvloop and with coredis's `Config.optimized`.

The result. `Task.result` subscribes to the task's end, looks for its result, and ends the subscription. For that,
coredis 6.9 reads on for 0.1 s, its `unsubscription_timeout`, so that a caller has each result that much later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import coredis
import uvloop
from job import Exchange
from protocol import JOBS_AT_ONCE, RECOVERY_S, REDIS_URL, Change, ready, run
from streaq import Worker


class Tools(NamedTuple):
    """What tasks use."""

    exchange: Exchange


@asynccontextmanager
async def lifespan() -> AsyncIterator[Tools]:
    """Open the session for a worker's life."""
    exchange = Exchange()
    ready()
    yield Tools(exchange)
    await exchange.close()


coredis.Config.optimized = True
worker = Worker(
    redis_url=REDIS_URL,
    concurrency=JOBS_AT_ONCE,
    lifespan=lifespan,
    idle_timeout=RECOVERY_S or 60,
    anyio_kwargs={"use_uvloop": True},
)


@worker.task
async def apply(change: Change) -> dict[str, Any]:
    """Do the job."""
    return await worker.context.exchange.apply(change)


class StreaqQueue:
    """The queue of streaq."""

    def work(self) -> None:
        """Run streaq's worker."""
        worker.run_sync()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        async with worker:
            yield

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue all in one call."""
        await worker.enqueue_many([apply.enqueue(change) for change in changes])

    async def call(self, change: Change, poll_s: float | None) -> object:  # noqa: ARG002 - it is notified
        """Enqueue one; its end is published."""
        task = await apply.enqueue(change)
        return (await task.result(timeout=60)).result

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        keys = {key async for key in worker.redis.scan_iter(f"{worker.results_key}*", count=1000)}
        for key in keys:
            result = await worker.deserialize(await worker.redis.get(key))
            yield result["s"] and result["r"]["applied"]


if __name__ == "__main__":
    run(StreaqQueue(), uvloop.new_event_loop)
