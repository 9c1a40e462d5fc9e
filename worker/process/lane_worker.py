"""The worker process: an arq worker that also dispatches lanes.

arq provides the context, signals, graceful stop, health key, cron, and a queue, used for control jobs. The
dispatcher runs beside arq's poll and keeps running attempts in arq's `tasks`, so arq waits for them when it stops.
Some of arq's methods are overridden because arq ends the process on an error of Redis.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from signal import Signals

from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.utils import poll
from arq.worker import Function
from redis.exceptions import RedisError

from producers.contract.codec import deserialize, serialize
from producers.contract.wording import plural
from producers.transport.explain import describe
from worker.clock import Clock, SystemClock
from worker.credentials.sources import open_store
from worker.logs import Event, log_fields
from worker.process.bootstrap import open_dispatchers
from worker.process.clients import given_client, open_clients
from worker.process.control_jobs import make_context, seal_batch, submit
from worker.process.control_queue import ControlQueueWorker
from worker.process.dispatching import REPLY_S, Dispatching, at_most
from worker.process.egress_block import EgressBlock
from worker.process.hand import AttemptsInHand
from worker.process.monitoring import Monitoring
from worker.process.presence import WorkerPresence
from worker.process.shared import Shared
from worker.queue.claims import Settled
from worker.settings import WorkerSettings

CONTROL_JOBS = 10
CONTROL_POLL_S = 0.5
PART = "control jobs"

log = logging.getLogger(__name__)


class LaneWorker(ControlQueueWorker):
    """An arq worker that dispatches lanes.

    `LaneWorker(settings).run()` runs until a signal; with `burst=True` until nothing is queued.

    Attributes:
        on_ready: called when the worker has its session and claims.
        on_stopping: called when a signal stops the worker.
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
        """Create a worker; it connects when it runs.

        Args:
            settings: the worker's settings.
            burst: stop when nothing is queued.
            handle_signals: stop gracefully on SIGTERM and SIGINT.
            functions: further control jobs. They are not run where keys have a tag, as in a cluster.
            cron_jobs: arq's cron jobs.
            redis: a client to use and close; by default one for `settings.redis_dsn`.
            clock: measures and sleeps.

        Raises:
            SettingsError: the DSN is invalid, or the client is not that of the queue that the settings name.
            CredentialsError: the source of credentials is unusable.
        """
        self.settings = settings
        self.on_ready: Callable[[], object] = lambda: None
        self.on_stopping: Callable[[], object] = lambda: None
        self._clock = clock or SystemClock()
        self._shards = shards = given_client(redis, settings) if redis else open_clients(settings)
        redis = shards.home
        redis.job_serializer, redis.job_deserializer = serialize, deserialize
        redis.default_queue_name = settings.queue  # for jobs that control jobs enqueue
        self._credentials = open_store(settings, redis, self._clock)
        self._resources = AsyncExitStack()
        self._dispatching: Dispatching | None = None
        self._monitoring = Monitoring(settings, self._clock)
        self._availability = self._monitoring.availability
        super().__init__(
            functions=[submit, seal_batch, *functions],
            queue_name=settings.queue,
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
            availability=self._availability,
            shards=len(shards.clients),
        )
        self._presence = WorkerPresence(shards.clients, self._clock, settings, self, availability=self._availability)

    async def main(self) -> None:
        """Run until cancelled, or in burst mode until nothing is queued.

        This replaces arq's method, which ends the process when Redis is away, and needs the right to run INFO.
        """
        for client in self._shards.all():
            if client is not self.pool:  # which arq closes
                self._resources.push_async_callback(client.aclose)
        monitored = self._monitoring.serve(self._presence.version, self._presence.name)
        await self._resources.enter_async_context(monitored)
        self.ctx["redis"] = self.pool
        await self._start_dispatching()
        async for _ in poll(self.poll_delay_s):
            await self._poll_iteration()
            if self.burst and not await self._availability.retry_until_up(self.count_jobs, PART):
                await asyncio.gather(*self.tasks.values())
                return

    async def _start_dispatching(self) -> None:
        settings = self.settings
        opening = open_dispatchers(
            shards=self._shards,
            availability=self._availability,
            clock=self._clock,
            settings=settings,
            credentials=self._credentials,
            shared=Shared(
                self.tasks,
                self._count_settled,
                AttemptsInHand(settings.max_jobs, len(self._shards.clients)),
                EgressBlock(),
            ),
            metrics=self._monitoring.metrics,
        )
        dispatchers, shares = await self._resources.enter_async_context(opening)
        self.ctx |= make_context(self._shards)
        self._dispatching = Dispatching(dispatchers, shares)
        self._monitoring.health.sessions = self._dispatching.sessions
        self._presence.start(self._dispatching.sessions)
        log.info(
            "dispatching lanes%s: %g requests a second a user, %g on egress %r, up to %d at once",
            f" of {settings.shards} shards" if settings.shards > 1 else "",
            settings.user_rate_per_s,
            settings.egress_rate_per_s,
            settings.egress,
            settings.max_jobs,
            extra=log_fields(Event.STARTED, egress=settings.egress),
        )
        self.log_unserved()
        self.on_ready()

    async def _poll_iteration(self) -> None:
        """Poll the queue of control jobs once.

        arq lets any exception end the process. Here errors of Redis or of a control job are logged, and polling
        continues. Only an exception of the dispatcher is raised: without it the process does nothing useful.
        """
        if self.main_task is not None and self.main_task.cancelling():
            # arq cancels once, and redis-py may have swallowed the cancellation, see `cancel_and_wait`.
            raise asyncio.CancelledError
        if self._dispatching is not None and self.allow_pick_jobs:
            self._dispatching.raise_errors()
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as exc:
            self._availability.failed(PART, exc)
        except Exception:
            extra = log_fields(Event.INTERNAL_ERROR)
            log.exception("unexpected error in the poll of the control queue; it continues", extra=extra)
        else:
            self._availability.served(PART)
        if self.burst and self._dispatching is not None:
            await self._dispatching.wait_until_drained()

    def _count_settled(self, settled: Settled) -> None:
        """Update the counts in arq's health key."""
        if settled.finished:
            self.jobs_complete += settled.finished
        elif not settled.fenced:
            self.jobs_retried += 1

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Stop the dispatcher, then let arq wait for the tasks under way.

        arq stops only its own poll; the dispatcher would go on claiming.
        """
        self._monitoring.health.is_stopping = True
        self.on_stopping()
        if self._dispatching is not None:
            self._dispatching.stop()
        super().handle_sig_wait_for_completion(signum)

    async def _sleep_until_tasks_complete(self) -> None:
        """Wait for the tasks under way, but not for a Redis that is away. arq waits for its whole time limit."""
        if self._dispatching is not None:
            await self._dispatching.wait_for(self.tasks, self.settings.stop_timeout_s)

    async def close(self) -> None:
        """Stop all tasks and close all connections, whether or not Redis answers.

        arq closes its connections at once, and raises when Redis is away. This method settles running attempts first.
        """
        try:
            if self._dispatching is None:
                await at_most(REPLY_S, self.close_unstarted())
            else:
                await self._stop_dispatching(self._dispatching)
        finally:
            await self._resources.aclose()

    async def _stop_dispatching(self, running: Dispatching) -> None:
        try:
            running.stop()
            await at_most(running.patience_s, self._presence.withdraw())
            await running.finish_claiming()
            await running.wait_for(self.tasks, self.settings.stop_timeout_s)
            self._log_stop(is_served=running.is_served)
            await running.end_session()
            await at_most(running.patience_s, super().close())
        except (RedisError, OSError) as exc:
            log.warning("stopping, although %s", describe(exc), extra=log_fields(Event.STOPPING))
        finally:
            await running.stop_renewing()

    def _log_stop(self, *, is_served: bool) -> None:
        counts = {"ended": self.jobs_complete, "requeued": self.jobs_retried}
        away = "; Redis is away: others take what is left when this worker's session has lapsed"
        ended, requeued = plural(self.jobs_complete, "change"), plural(self.jobs_retried, "attempt")
        text = f"stopping: {ended} ended here, {requeued} requeued{'' if is_served else away}"
        level = logging.INFO if is_served else logging.WARNING
        log.log(level, "%s", text, extra=log_fields(Event.STOPPING, **counts))
