"""The control queue: what arq's worker does with the jobs in it, made safe against jobs that are malformed or lost.

arq's own keys have no tag. So the queue is not served where the queue's keys have one, as in a Redis Cluster, nor where
it has shards.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any

from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.contract.keyspace import CONTROL_QUEUE, Keyspace
from producers.transport.cancellation import cancel_and_wait
from producers.transport.clients import keyspace_of
from producers.transport.commands import SET
from producers.transport.redis_errors import FULL, refusal_code
from producers.transport.runner import execute
from worker.logs import Event, log_fields
from worker.process.control_jobs import failed_result, read_fault, shorten_log_record
from worker.process.cron import CronRunner
from worker.queue.redis_retry import RedisAvailability

LEASE_S = 10.0
"""How long a started control job belongs to its worker, which renews it. When it lapses, another worker starts the job.
arq's own figure is the job's time-out (300 s) and 10 s, for it does not renew."""

RENEWALS = 3
"""How often the lease is renewed in its time."""

log = logging.getLogger(__name__)


class ControlQueueWorker(Worker):
    """An arq worker that outlives malformed jobs, and whose jobs are started by others soon after it is killed."""

    def __init__(self, *, availability: RedisAvailability, shards: int, **options: Any) -> None:
        """Create a worker; `options` are those of arq's, and `shards` how many the queue has."""
        keys, self._named_queue = keyspace_of(options["redis_pool"]), options["queue_name"]
        self._unserved = _why_unserved(keys, shards)
        super().__init__(**options | ({"queue_name": keys.queue} if self._unserved else {}))
        self._cron = CronRunner(
            self.cron_jobs, self.pool, availability, tasks=self.tasks, ctx=self.ctx, timeout_s=self.job_timeout_s
        )
        self.in_progress_timeout_s = LEASE_S
        logging.getLogger("arq.worker").addFilter(shorten_log_record)

    def log_unserved(self) -> None:
        """Say what a worker does not do that has no control queue."""
        if not self._unserved:
            return
        extra = log_fields(Event.QUEUE_NOT_SERVED)
        log.info(
            "arq's control queue is not served, because %s: submit and seal_batch by arq are not run; cron jobs are",
            self._unserved,
            extra=extra,
        )
        if self._named_queue != CONTROL_QUEUE:
            log.warning("COPYTRADE_QUEUE=%s has no effect: arq's queue is not served", self._named_queue, extra=extra)

    async def close_unstarted(self) -> None:
        """Close the connections of a worker that has not started. arq also deletes the health key of others."""
        if self.main_task is not None:
            self.main_task.cancel()
        if self._pool is not None:
            await self._pool.aclose(close_connection_pool=True)
            self._pool = None

    async def count_jobs(self) -> int:
        """Return the number of jobs in the queue; 0 if it is not served."""
        return 0 if self._unserved else int(await self.pool.zcard(self.queue_name))

    async def _poll_iteration(self) -> None:
        """Start what is queued, and take what has ended out of the tasks."""
        if not self._unserved:
            await super()._poll_iteration()
            return
        for name, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[name]
        await self.heart_beat()

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Start or enqueue the cron jobs whose time has come."""
        if self._unserved:
            self._cron.start_due(n)
        else:
            await super().run_cron(n, delay, num_windows)

    async def record_health(self) -> None:
        """Write arq's health key, also to a Redis that is full, which refuses arq's own command."""
        try:
            await super().record_health()
        except ResponseError as exc:
            if refusal_code(exc) != FULL:
                raise
            ttl_ms = int((self.health_check_interval + 1) * 1000)
            await execute(self.pool, SET(self.health_check_key, "Redis is full", "PX", ttl_ms))

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start control jobs, after removing those that arq cannot start.

        arq raises for an ID that is not UTF-8, and cannot run a job with a score below 1. It also counts a job as
        started before it talks to Redis, and does not take that back when Redis fails.
        """
        startable = [job_id for job_id in job_ids if _is_utf8(job_id)]
        for job_id in set(job_ids).difference(startable):
            await self.pool.delete(keyspace_of(self.pool).job.encode() + job_id)
            await self.pool.zrem(self.queue_name, job_id)
            log.error(
                "removed control job %r: its ID is not UTF-8", job_id[:80], extra=log_fields(Event.CONTROL_JOB_FAILED)
            )
        if startable:
            await self.pool.zremrangebyscore(self.queue_name, "-inf", "(1")
        try:
            await super().start_jobs(startable)
        except Exception:
            self._release_sem_dec_counter_on_complete()
            raise

    async def run_job(self, job_id: str, score: int) -> None:
        """Run a control job under a lease, or end it with the reason why it cannot be run.

        arq raises for a job that it cannot decode, which would end the process, and logs tracebacks for others.
        """
        renewal = asyncio.create_task(self._renew_lease(job_id))
        try:
            fault = await read_fault(self.pool, job_id, self.functions)
            if fault is None:
                await super().run_job(job_id, score)
            else:
                log.error(
                    "control job %s is not run: %s",
                    job_id,
                    fault,
                    extra=log_fields(Event.CONTROL_JOB_FAILED, job=job_id),
                )
                await self._fail(job_id, fault)
        except (RedisConnectionError, RedisTimeoutError):
            raise  # not the job's fault
        except Exception as exc:
            log.exception(
                "unexpected error in control job %s; it ends",
                job_id,
                extra=log_fields(Event.CONTROL_JOB_FAILED, job=job_id),
            )
            await self._fail(job_id, f"unexpected error: {type(exc).__name__}: {exc}")
        finally:
            await cancel_and_wait(renewal)

    async def _renew_lease(self, job_id: str) -> None:
        """Keep other workers from starting a job. If Redis is away for too long they do: at least once, as arq."""
        while True:
            await asyncio.sleep(self.in_progress_timeout_s / RENEWALS)
            with suppress(RedisError, OSError):
                await self.pool.pexpire(in_progress_key_prefix + job_id, round(self.in_progress_timeout_s * 1000))

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        """Store the result of a job, or put the job back; announce a result."""
        await super().finish_job(
            job_id, finish, result_data, result_timeout_s, keep_result_forever, incr_score, keep_in_progress
        )
        if finish:
            await self._announce(job_id)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Store why a job was not run, and announce it."""
        await super().finish_failed_job(job_id, result_data)
        await self._announce(job_id)

    async def _announce(self, job_id: str) -> None:
        """Tell those who wait for the result. One that is not told polls."""
        with suppress(RedisError, OSError):
            await self.pool.publish(keyspace_of(self.pool).job_done + job_id, job_id)

    async def _fail(self, job_id: str, reason: str) -> None:
        """End a job that was not run, and store the reason as its result."""
        self.jobs_failed += 1
        await self.finish_failed_job(job_id, failed_result(job_id, reason, self.queue_name))


def _why_unserved(keys: Keyspace, shards: int) -> str:
    """Return why arq's queue is not served; "" if it is."""
    if keys.tag:
        return f"the keys of this queue have the tag {keys.tag}"
    return f"this queue has {shards} shards" if shards > 1 else ""


def _is_utf8(job_id: bytes) -> bool:
    try:
        job_id.decode()
    except UnicodeDecodeError:
        return False
    return True
