"""Announcing this worker process in Redis, for those who watch the queue. A Redis that is away does no harm here."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from redis.asyncio import Redis

from producers.errors import QueueUnavailable
from producers.monitor.worker_info import MAX_INTERVAL_S, WorkerInfo, announce_worker, withdraw_worker
from producers.transport.cancellation import cancel_and_wait
from producers.transport.runner import run_plan, translate_errors
from worker.clock import Clock
from worker.settings import WorkerSettings

DISTRIBUTION = "copytrade-settings"
HOST_CHARS = 64
ANNOUNCING = "announcing this worker"

log = logging.getLogger(__name__)


class Working(Protocol):
    """What is told of a worker's work: arq's own counts.

    Attributes:
        tasks: what is under way, control jobs included.
        jobs_complete: changes that ended here.
        jobs_retried: attempts that put their lanes back.
    """

    tasks: dict[str, asyncio.Task[Any]]
    jobs_complete: int
    jobs_retried: int


class Presence:
    """One process's announcement: made anew every interval, withdrawn by `leave`."""

    def __init__(self, redis: Redis, clock: Clock, settings: WorkerSettings, worker: Working) -> None:
        """Announces nothing yet.

        Args:
            redis: where.
            clock: measures and sleeps.
            settings: what is told of them, and how often.
            worker: looked at with every beat.
        """
        self._redis = redis
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._interval_s = min(settings.health_interval_s, MAX_INTERVAL_S)
        self._host = socket.gethostname()[:HOST_CHARS]
        self._name = f"{self._host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._version = _installed_version()
        self._made_s = clock.monotonic()
        self._started_at_ms: int | None = None
        self._last: WorkerInfo | None = None
        self._unheard = False
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Announces at once, and then every interval."""
        self._beating = asyncio.create_task(self._run(), name="copytrade presence")

    async def leave(self) -> None:
        """Ends the beating and withdraws the announcement. It is left to expire if Redis did not answer lately."""
        if self._beating is not None:
            await cancel_and_wait(self._beating)
        last, self._last = self._last, None
        if last is None or self._unheard:
            return
        try:
            await run_plan(self._redis, withdraw_worker(last), "withdrawing this worker's announcement")
        except QueueUnavailable as exc:
            log.warning("%s; it expires by itself", exc)

    async def beat(self) -> None:
        """Announces once."""
        try:
            with translate_errors(ANNOUNCING):
                seconds, micros = await self._redis.time()
            presence = self._presence(seconds * 1000 + micros // 1000)
            await run_plan(self._redis, announce_worker(presence), ANNOUNCING)
            self._last = presence
        except QueueUnavailable as exc:
            if not self._unheard:
                log.warning("%s; it is tried again every %g s", exc, self._interval_s)
            self._unheard = True
        except Exception:
            log.exception("announcing this worker stumbled; it goes on")
        else:
            self._unheard = False

    async def _run(self) -> None:
        while True:
            await self.beat()
            await self._clock.sleep(self._interval_s)

    def _presence(self, now_ms: int) -> WorkerInfo:
        if self._started_at_ms is None:
            self._started_at_ms = now_ms - round((self._clock.monotonic() - self._made_s) * 1000)
        worker, settings = self._worker, self._settings
        return WorkerInfo(
            name=self._name,
            host=self._host,
            pid=os.getpid(),
            egress=settings.egress,
            version=self._version,
            started_at_ms=self._started_at_ms,
            beat_at_ms=now_ms,
            interval_s=self._interval_s,
            max_jobs=settings.max_jobs,
            in_hand=len(worker.tasks),
            ended=worker.jobs_complete,
            put_back=worker.jobs_retried,
            user_rate_per_s=settings.user_rate_per_s,
            egress_rate_per_s=settings.egress_rate_per_s,
        )


def _installed_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
