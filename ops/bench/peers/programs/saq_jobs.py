"""saq, with its Redis queue.

By its documentation (saq-py.readthedocs.io, "Getting started", "Jobs", "Workers"; README and benchmarks of the
repository) and its source, 0.26.4: `concurrency` tasks of a worker each wait for a job in a blocking BLMOVE; a job
stays in the list of active ones until its result is written, so that one that a killed worker had is found by a sweep.
There is no call that enqueues many. A queue makes `max_concurrent_ops` calls of Redis at once, 20 by default; here as
many as its callers and its worker have in hand. The Redis client is redis-py below 8 with hiredis, by its extras.

The sweep. It runs when a worker starts, and then every minute, or PEERS_RECOVERY_S. A job that is active for more than
10 s, its `timeout`, is stuck. It waits up to 5 s for the end of each such job before it goes on to the next. It takes
jobs that have just been moved to the list, but not yet been marked as active, for stuck. So a queue's first worker,
started on a full queue, sends some jobs twice, and of some it keeps no result. The load `drain` avoids that: its worker
starts less than a minute after another.

The result. The README waits by `Job.refresh(1)`, which reads the job and then subscribes to its end. Of a job that ends
in between it does not hear, and raises TimeoutError after that second; one in some sixty jobs does. `Queue.apply`, its
other way, polls, every 0.5 s by default, and sleeps once more after it has found the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from job import Exchange
from protocol import CALLS_AT_ONCE, JOBS_AT_ONCE, RECOVERY_S, REDIS_URL, Change, bounded, ready, run
from saq import Queue, Status, Worker

MAX_CALLS = max(CALLS_AT_ONCE, JOBS_AT_ONCE)
SWEEP_S = RECOVERY_S or 60


async def apply(ctx: dict[str, Any], *, change: Change) -> dict[str, Any]:
    """Do the job."""
    exchange: Exchange = ctx["exchange"]
    return await exchange.apply(change)


async def start(ctx: dict[str, Any]) -> None:
    """Open the session."""
    ctx["exchange"] = Exchange()
    ready()


async def stop(ctx: dict[str, Any]) -> None:
    """Close the session."""
    await ctx["exchange"].close()


class SaqQueue:
    """The queue of saq. Its worker runs `function`, under the name `apply`."""

    function = staticmethod(apply)
    _queue: Any

    def work(self) -> None:
        """Run saq's worker."""
        asyncio.run(self._work())

    async def _work(self) -> None:
        queue = Queue.from_url(REDIS_URL, max_concurrent_ops=MAX_CALLS)
        await queue.connect()
        functions, timers = [("apply", self.function)], {"sweep": SWEEP_S}
        await Worker(queue, functions, concurrency=JOBS_AT_ONCE, timers=timers, startup=start, shutdown=stop).start()
        await queue.disconnect()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        self._queue = Queue.from_url(REDIS_URL, max_concurrent_ops=MAX_CALLS)
        await self._queue.connect()
        yield
        await self._queue.disconnect()

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue each change by a call."""
        await bounded(self._queue.enqueue("apply", change=change) for change in changes)

    async def call(self, change: Change, poll_s: float | None) -> object:
        """Enqueue one and wait: by `Job.refresh`, which is notified, or by `Queue.apply`, which polls."""
        if poll_s is not None:
            return await self._queue.apply("apply", change=change, poll_interval=poll_s)
        job = await self._queue.enqueue("apply", change=change)
        while not job.completed:
            with suppress(TimeoutError):
                await job.refresh(1)
        return job.result

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        async for job in self._queue.iter_jobs([Status.COMPLETE]):
            yield job.result["applied"]


if __name__ == "__main__":
    run(SaqQueue())
