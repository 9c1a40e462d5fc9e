"""The clock of this machine."""

from __future__ import annotations

import asyncio
import time

from worker.clock import Clock, SystemClock


def test_the_wall_clock_is_unix_time_in_milliseconds() -> None:
    """It lies between two readings of the system's own clock."""
    clock: Clock = SystemClock()

    before = int(time.time() * 1000) - 1
    now = clock.wall_ms()

    assert before <= now <= int(time.time() * 1000) + 1


def test_the_monotonic_clock_never_goes_back() -> None:
    """Differences of its readings are durations, which must not be negative."""
    clock = SystemClock()

    first = clock.monotonic()

    assert clock.monotonic() >= first


async def test_a_sleep_lets_other_tasks_run() -> None:
    """Even a sleep of zero seconds yields to the event loop."""
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)

    await SystemClock().sleep(0)

    assert ran.is_set()
