"""The announcement of this worker process in Redis, for the overview and the doctor. Failures only cause a log line.

A worker is announced in each shard, with its session there: whether it is alive is seen by that (overview.lua).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.monitor.worker_info import MAX_INTERVAL_S, WorkerInfo, announce_worker, withdraw_worker
from producers.transport.cancellation import cancel_and_wait
from producers.transport.clients import keyspace_of
from producers.transport.runner import execute
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.redis_retry import RedisAvailability, ShardAvailability
from worker.queue.session import Session
from worker.settings import WorkerSettings

DISTRIBUTION = "copytrade-settings"
HOST_CHARS = 64
PART = "announcing this worker"

RETRY_S = 1.0
"""Pause after an announcement that failed; until one succeeds, the outage is not over for the log."""

log = logging.getLogger(__name__)


class WorkCounts(Protocol):
    """The part of an arq worker that the announcement reports.

    Attributes:
        tasks: running attempts and control jobs.
        jobs_complete: changes that have ended.
        jobs_retried: attempts that requeued their lane.
    """

    tasks: dict[str, asyncio.Task[Any]]
    jobs_complete: int
    jobs_retried: int


class PresenceAnnouncer:
    """Announces one worker process every interval, until `withdraw`.

    Attributes:
        name: the worker's.
        version: of this project.
    """

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        settings: WorkerSettings,
        worker: WorkCounts,
        *,
        availability: RedisAvailability | None = None,
        name: str | None = None,
    ) -> None:
        """Create it; `name` is the worker's, if it is announced in another shard under one already."""
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._availability = availability or RedisAvailability(clock)
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._session: Session | None = None
        self._interval_s = min(settings.health_interval_s, MAX_INTERVAL_S)
        self._host = socket.gethostname()[:HOST_CHARS]
        self.name = name or f"{self._host}-{os.getpid()}-{secrets.token_hex(4)}"
        self.version = _installed_version()
        self._created_s = clock.monotonic()
        self._started_at_ms: int | None = None
        self._announced: WorkerInfo | None = None
        self._redis_away = False
        self._task: asyncio.Task[None] | None = None

    def start(self, session: Session) -> None:
        """Announce the worker of a session now, then every interval, and when it has another session."""
        self._session = session
        self._task = asyncio.create_task(self._run(session), name="copytrade presence")

    async def withdraw(self) -> None:
        """Stop announcing and delete the announcement. If Redis did not answer last time, it expires by its TTL."""
        if self._task is not None:
            await cancel_and_wait(self._task)
        announced, self._announced = self._announced, None
        if announced is None or self._redis_away:
            return
        try:
            await execute(self._redis, withdraw_worker(self._keys, announced))
        except (RedisError, OSError) as exc:
            self._availability.failed(PART, exc)

    async def announce(self) -> None:
        """Announce once. Log errors instead of raising them."""
        try:
            seconds, micros = await self._redis.time()
            info = self._worker_info(seconds * 1000 + micros // 1000)
            await execute(self._redis, announce_worker(self._keys, info))
            self._announced = info
        except (RedisError, OSError) as exc:
            self._availability.failed(PART, exc)
            self._redis_away = True
        except Exception:
            log.exception(
                "unexpected error in announcing this worker; it continues", extra=log_fields(Event.INTERNAL_ERROR)
            )
        else:
            self._availability.served(PART)
            self._redis_away = False

    async def _run(self, session: Session) -> None:
        while True:
            session.replaced.clear()
            await self.announce()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._interval_s, RETRY_S) if self._redis_away else self._interval_s):
                    await session.replaced.wait()

    def _worker_info(self, now_ms: int) -> WorkerInfo:
        if self._started_at_ms is None:
            self._started_at_ms = now_ms - round((self._clock.monotonic() - self._created_s) * 1000)
        worker, settings = self._worker, self._settings
        return WorkerInfo(
            name=self.name,
            host=self._host,
            pid=os.getpid(),
            session="" if self._session is None else self._session.session_id,
            egress=settings.egress,
            version=self.version,
            started_at_ms=self._started_at_ms,
            beat_at_ms=now_ms,
            interval_s=self._interval_s,
            max_jobs=settings.max_jobs,
            in_flight=len(worker.tasks),
            ended=worker.jobs_complete,
            requeued=worker.jobs_retried,
            user_rate_per_s=settings.user_rate_per_s,
            egress_rate_per_s=settings.egress_rate_per_s,
        )


class WorkerPresence:
    """Announces one worker process in each shard of its queue, under the same name.

    Attributes:
        name: the worker's.
        version: of this project.
    """

    def __init__(
        self,
        shards: Sequence[Redis],
        clock: Clock,
        settings: WorkerSettings,
        worker: WorkCounts,
        *,
        availability: RedisAvailability,
    ) -> None:
        self._announcers: list[PresenceAnnouncer] = []
        for number, redis in enumerate(shards):
            served = ShardAvailability(availability, number) if len(shards) > 1 else availability
            name = self._announcers[0].name if number else None
            self._announcers.append(PresenceAnnouncer(redis, clock, settings, worker, availability=served, name=name))
        self.name, self.version = self._announcers[0].name, self._announcers[0].version

    def start(self, sessions: Sequence[Session]) -> None:
        """Announce the worker with its session in each shard, now and then every interval."""
        for announcer, session in zip(self._announcers, sessions, strict=True):
            announcer.start(session)

    async def announce(self) -> None:
        """Announce once in each shard."""
        await asyncio.gather(*(announcer.announce() for announcer in self._announcers))

    async def withdraw(self) -> None:
        """Stop announcing and delete the announcements."""
        await asyncio.gather(*(announcer.withdraw() for announcer in self._announcers))


def _installed_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
