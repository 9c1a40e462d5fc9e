"""arq, as it comes and tuned.

By its documentation (arq-docs.helpmanual.io, "Usage" and "API reference") and its source, 0.28: a worker has at most
`max_jobs` jobs at once, 10 by default, and looks for new ones every `poll_delay`, 0.5 s by default, at up to
`queue_read_limit` of them, 100 by default. A job stays in the queue until its result is written, so that one that a
killed worker had is run again, when its mark has ended: after `job_timeout`, 300 s by default, and 10 s more. There is
no call that enqueues many, and `Job.result` polls every 0.5 s by default.

PEERS_VARIANT=tuned: PEERS_JOBS_AT_ONCE, a poll every 0.05 s, and up to 1,000 jobs read in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import result_key_prefix
from arq.jobs import Job
from arq.worker import Worker
from job import Exchange
from protocol import JOBS_AT_ONCE, RECOVERY_S, REDIS_URL, VARIANT, Change, bounded, ready, run

TUNED: dict[str, Any] = {"max_jobs": JOBS_AT_ONCE, "poll_delay": 0.05, "queue_read_limit": 1000}
if RECOVERY_S:
    TUNED["job_timeout"] = max(1, RECOVERY_S - 10)
SETTINGS = RedisSettings.from_dsn(REDIS_URL)
RESULT_POLL_S = 0.5


async def apply(ctx: dict[str, Any], change: Change) -> dict[str, Any]:
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


class ArqQueue:
    """The queue of arq."""

    _pool: ArqRedis

    def work(self) -> None:
        """Run arq's worker."""
        options = TUNED if VARIANT == "tuned" else {}
        Worker([apply], redis_settings=SETTINGS, on_startup=start, on_shutdown=stop, **options).run()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        self._pool = await create_pool(SETTINGS)
        yield
        await self._pool.aclose()

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue each change by a call."""
        await bounded(self._pool.enqueue_job("apply", change) for change in changes)

    async def call(self, change: Change, poll_s: float | None) -> object:
        """Enqueue one; `Job.result` polls."""
        job = await self._pool.enqueue_job("apply", change)
        assert job is not None
        return await job.result(poll_delay=poll_s or RESULT_POLL_S)

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        for key in await self._pool.keys(f"{result_key_prefix}*"):
            info = await Job(key.decode().removeprefix(result_key_prefix), self._pool).result_info()
            yield info is not None and info.success and info.result["applied"]


if __name__ == "__main__":
    run(ArqQueue())
