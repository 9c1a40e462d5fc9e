"""Announcers of workers that do no work, and what is shown of them."""

from __future__ import annotations

import asyncio
from typing import Any

from arq.connections import ArqRedis

from producers.monitor.overview import read_overview
from producers.monitor.worker_info import WorkerInfo
from producers.transport.runner import run_plan
from tests.support.lanes import UNHINDERED
from tests.support.manual_clock import ManualClock
from worker.clock import SystemClock
from worker.process.presence import PresenceAnnouncer
from worker.queue.session import Session
from worker.settings import WorkerSettings

TTL_S = 20.0
"""The TTL of the sessions: less than the TTL of an announcement."""


class Work:
    """A worker's counts."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.jobs_complete = 0
        self.jobs_retried = 0


async def announcer(redis: ArqRedis, clock: ManualClock | None = None, **changed: Any) -> PresenceAnnouncer:
    """The announcer of a worker that has just opened its session."""
    settings, pulse = WorkerSettings(session_ttl_s=TTL_S, **changed), clock or SystemClock()
    presence = PresenceAnnouncer(redis, pulse, settings, Work())
    presence._session = Session(redis, pulse, settings, UNHINDERED)
    await presence._session.renew()
    return presence


async def renew(presence: PresenceAnnouncer) -> None:
    """Renew the session of its worker."""
    assert presence._session is not None
    await presence._session.renew()


async def shown_workers(redis: ArqRedis) -> list[WorkerInfo]:
    """Return the workers that an operator sees."""
    return (await run_plan(redis, read_overview(), "asking for an overview")).workers
