"""The worker process: arq's, with lanes.

arq keeps what it is good at: settings, context, hooks, signals, health key, cron, and its own queue for control jobs.
Lanes are drained by a loop beside arq's poll; running attempts are kept in arq's `tasks`, so that its graceful stop
waits for them. Overridden, because of what arq does there: `main`, `_poll_iteration`, `run_job` and `start_jobs` (a
lost Redis or an unreadable job would end the process), the signal handler (lanes are given back), and `close`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from signal import Signals

from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.utils import poll
from arq.worker import Function, Worker
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.client.producer import Producer
from producers.contract.codec import deserialize, serialize
from producers.contract.keyspace import CONTROL_QUEUE, JOB
from producers.settings import ProducerSettings
from producers.transport.cancellation import cancel_and_wait
from producers.transport.dsn import open_redis
from worker.clock import Clock, SystemClock
from worker.credentials.sources import open_store
from worker.process.bootstrap import assembled
from worker.process.control_jobs import submit
from worker.process.dispatcher import Dispatcher
from worker.process.presence import Presence
from worker.queue.claims import Settled
from worker.queue.redis_retry import retry_until_up
from worker.settings import WorkerSettings

CONTROL_JOBS = 10
CONTROL_POLL_S = 0.5
LARGEST_CONTROL_JOB_BYTES = 1024 * 1024
"""A change is far smaller; whatever else an app gives its own functions belongs elsewhere than in a queue."""

log = logging.getLogger(__name__)


class LaneWorker(Worker):
    """An arq worker that drains lanes.

    `LaneWorker(settings).run()` runs until a signal; `burst=True` until nothing is queued.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        burst: bool = False,
        handle_signals: bool = True,
        functions: Sequence[Function | WorkerCoroutine] = (),
        cron_jobs: Sequence[CronJob] = (),
        redis: ArqRedis | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Makes a worker; it connects when it runs.

        Args:
            settings: the worker's settings.
            burst: stop when nothing is queued.
            handle_signals: stop gracefully on SIGTERM and SIGINT.
            functions: further control jobs.
            cron_jobs: arq's cron jobs.
            redis: a client to use and close; by default one for `settings.redis_dsn`.
            clock: measures and sleeps.

        Raises:
            SettingsError: the DSN cannot be read.
            CredentialsError: the source of credentials cannot be used.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        if redis is None:
            redis = open_redis(settings.redis_dsn, ArqRedis, timeout_s=settings.redis_timeout_s)
        redis.job_serializer, redis.job_deserializer = serialize, deserialize
        self._credentials = open_store(settings, redis, self._clock)
        self._resources = AsyncExitStack()
        self._drain: Dispatcher | None = None
        self._draining: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._redis_is_away = False
        super().__init__(
            functions=[submit, *functions],
            queue_name=CONTROL_QUEUE,
            cron_jobs=cron_jobs,
            redis_pool=redis,
            burst=burst,
            handle_signals=handle_signals,
            job_completion_wait=settings.stop_timeout_s,
            max_jobs=CONTROL_JOBS,
            poll_delay=CONTROL_POLL_S,
            keep_result=settings.result_ttl_s,
            health_check_interval=settings.health_interval_s,
            job_serializer=serialize,
            job_deserializer=deserialize,
            ctx={},
        )
        self._presence = Presence(redis, self._clock, settings, self)

    async def main(self) -> None:
        """As arq's, but a Redis that is away is waited for, and nothing is asked of it for a log line alone."""
        await retry_until_up(self.pool.ping)
        self.ctx["redis"] = self.pool
        await self._open()
        async for _ in poll(self.poll_delay_s):
            await self._poll_iteration()
            if self.burst and not await retry_until_up(lambda: self.pool.zcard(self.queue_name)):
                await asyncio.gather(*self.tasks.values())
                return

    async def _open(self) -> None:
        """Builds what the lanes need, once, and starts to drain."""
        settings = self.settings
        self._drain, heartbeat = await assembled(
            self._resources,
            redis=self.pool,
            clock=self._clock,
            settings=settings,
            credentials=self._credentials,
            tasks=self.tasks,
            on_settled=self._on_settled,
        )
        self.ctx["producer"] = Producer(self.pool, ProducerSettings.from_env())
        self._draining = asyncio.create_task(self._drain.run(), name="copytrade drain")
        self._beating = asyncio.create_task(heartbeat.run(), name="copytrade heartbeat")
        self._presence.start()
        log.info(
            "draining lanes: %g requests a second a user, %g on egress %r, up to %d at once",
            settings.user_rate_per_s,
            settings.egress_rate_per_s,
            settings.egress,
            settings.max_jobs,
        )

    async def _poll_iteration(self) -> None:
        """One look at arq's own queue; the lanes have a loop of their own."""
        if self.main_task is not None and self.main_task.cancelling():
            raise asyncio.CancelledError  # arq cancels once, and redis-py may have swallowed it, see `cancel_and_wait`
        if self._draining is not None and self._draining.done() and self.allow_pick_jobs:
            self._draining.result()
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as exc:
            if not self._redis_is_away:
                log.warning("Redis does not answer (%s: %s); control jobs wait", type(exc).__name__, exc)
            self._redis_is_away = True
        except Exception:
            log.exception("the control queue's poll stumbled; it goes on")
        else:
            self._redis_is_away = False
        if self.burst and self._drain is not None:
            await self._drain.until_empty()

    def _on_settled(self, settled: Settled) -> None:
        """Keeps the counts that arq's health key tells."""
        if settled.ended:
            self.jobs_complete += settled.ended
        elif not settled.fenced:
            self.jobs_retried += 1

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Starts control jobs; what cannot be read is removed, since arq would die of it."""
        readable = []
        for job_id in job_ids:
            if not _is_text(job_id):
                await self.pool.zrem(self.queue_name, job_id)
                log.error("control queue: %r is no job ID; removed", job_id[:80])
            elif await self._size_of(job_id) > LARGEST_CONTROL_JOB_BYTES:
                await self.finish_failed_job(job_id.decode(), None)
                log.error("control queue: %s is larger than %d bytes; removed", job_id, LARGEST_CONTROL_JOB_BYTES)
            else:
                readable.append(job_id)
        if readable:  # a score of no time: arq would die of one, and never run another
            await self.pool.zremrangebyscore(self.queue_name, "-inf", "(1")
        try:
            await super().start_jobs(readable)
        except Exception:
            self._release_sem_dec_counter_on_complete()  # arq had taken a place for the job that it could not start
            raise

    async def _size_of(self, job_id: bytes) -> int:
        try:
            size: int = await self.pool.strlen(JOB.encode() + job_id)
        except ResponseError:  # no string: `run_job` removes it
            return 0
        return size

    async def run_job(self, job_id: str, score: int) -> None:
        """Runs a control job; one that arq cannot even read ends there, instead of ending the process."""
        try:
            await super().run_job(job_id, score)
        except (RedisConnectionError, RedisTimeoutError):
            raise  # not the job's fault
        except Exception:
            log.exception("control job %s cannot be read; removed", job_id)
            self.jobs_failed += 1
            await self.finish_failed_job(job_id, None)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Stops claiming, gives back what waits, and lets arq wait for what is under way."""
        if self._drain is not None:
            self._drain.stop()
        super().handle_sig_wait_for_completion(signum)

    async def close(self) -> None:
        """Ends the process's work, whether or not Redis answers."""
        try:
            if self._drain is not None and self._draining is not None:
                self._drain.stop()
                await self._presence.leave()
                # A claim may be under way: what it brings must be given back, not left to its lease.
                await asyncio.wait({self._draining}, timeout=self.settings.redis_timeout_s)
                await cancel_and_wait(self._draining)
                if self.tasks:
                    await asyncio.wait(set(self.tasks.values()), timeout=self.settings.stop_timeout_s)
                await self._drain.wake_other_worker()
            log.info("stopping: %d changes ended here, %d attempts put back", self.jobs_complete, self.jobs_retried)
            await super().close()
        except (RedisError, OSError) as exc:
            log.warning("closing without Redis (%s: %s)", type(exc).__name__, exc)
        finally:
            if self._beating is not None:
                await cancel_and_wait(self._beating)
            await self._resources.aclose()


def _is_text(job_id: bytes) -> bool:
    try:
        job_id.decode()
    except UnicodeDecodeError:
        return False
    return True
