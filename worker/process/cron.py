"""Cron jobs without arq's queue: arq starts them by enqueueing them under keys that have no tag.

A job that is unique, as arq's are by default, runs once at each of its times, over all workers: the first that writes
the key of that run runs it. It is not tried again, also as arq's by default.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from arq.cron import CronJob
from arq.utils import to_unix_ms
from redis.asyncio import Redis

from producers.transport.clients import keyspace_of
from producers.transport.commands import GET, SET
from producers.transport.plan import Transaction
from producers.transport.runner import execute
from worker.logs import Event, log_fields
from worker.queue.redis_retry import RedisAvailability

MAX_LATE_S = 600.0
"""How much later than its time a run may start. One that Redis or this process was away for is left out after that."""

RUN_TTL_MS = 3_600_000
"""How long the key of a run is kept: longer than any worker may be late, and than clocks differ."""

PART = "cron jobs"

log = logging.getLogger(__name__)


class CronRunner:
    """Starts the cron jobs of one worker process at their times, by this machine's clock."""

    def __init__(
        self,
        jobs: Sequence[CronJob],
        redis: Redis,
        availability: RedisAvailability,
        *,
        tasks: dict[str, asyncio.Task[Any]],
        ctx: Mapping[str, Any],
        timeout_s: float,
    ) -> None:
        """Start nothing yet.

        Args:
            jobs: arq's cron jobs.
            redis: a client.
            availability: whether Redis serves this worker.
            tasks: the worker's; runs are in it, so that a stop waits for them.
            ctx: what each run gets as its context, with arq's own fields.
            timeout_s: limit for a run of a job that has none of its own.
        """
        self._jobs = jobs
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._availability = availability
        self._tasks = tasks
        self._ctx = ctx
        self._timeout_s = timeout_s
        self._name = secrets.token_hex(8)

    def start_due(self, now: datetime) -> None:
        """Start the jobs whose time has come. As with arq, none starts at the first call but those for the startup."""
        for job in self._jobs:
            if job.next_run is None and job.run_at_startup:
                job.next_run = now
            if job.next_run is None:
                job.calculate_next(now)
            elif job.next_run <= now:
                due, earliest = job.next_run, now - timedelta(seconds=MAX_LATE_S)
                job.calculate_next(max(due, earliest))
                if due >= earliest:
                    self._start(job, due)

    def _start(self, job: CronJob, due: datetime) -> None:
        run_id = f"{job.name}:{to_unix_ms(due)}"
        self._tasks[run_id] = asyncio.create_task(self._run(job, due, run_id), name=f"copytrade {run_id}")

    async def _run(self, job: CronJob, due: datetime, run_id: str) -> None:
        """Run a job, unless another worker does. An exception only causes a log line."""
        try:
            if job.unique and not await self._take(run_id):
                return
            ctx = {**self._ctx, "job_id": run_id, "job_try": 1, "enqueue_time": due, "score": to_unix_ms(due)}
            async with asyncio.timeout(job.timeout_s or self._timeout_s):
                await job.coroutine(ctx)
        except Exception:
            extra = log_fields(Event.CONTROL_JOB_FAILED, job=run_id)
            log.exception("cron job %s failed; it runs again at its next time", run_id, extra=extra)

    async def _take(self, run_id: str) -> bool:
        """Return whether this worker is the one that runs it.

        The key is read after it was written: a repeated SET does not tell whether the first one, whose reply was lost,
        was this worker's.

        Raises:
            TimeoutError: Redis was away until it was too late.
        """
        key = self._keys.cron_runs + run_id
        take = Transaction[Any](SET(key, self._name, "PX", RUN_TTL_MS, "NX"), GET(key))
        async with asyncio.timeout(MAX_LATE_S):
            _, taken_by = await self._availability.retry_until_up(partial(execute, self._redis, take), PART)
        return bool(taken_by == self._name.encode())
