"""The checks of `producers.diagnose`, without await."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from producers.monitor import doctor
from producers.monitor.checks import Check
from producers.settings import ProducerSettings


def diagnose(settings: ProducerSettings | None = None, *, dsn: str | None = None) -> list[Check]:
    """Check the Redis of some settings, and the queue on it.

    Args:
        settings: by default read from the environment.
        dsn: used instead of the settings' `redis_dsn`.
    """
    with ThreadPoolExecutor(1) as thread:  # this one may run an event loop, as in a notebook
        return thread.submit(asyncio.run, doctor.diagnose(settings, dsn=dsn)).result()
