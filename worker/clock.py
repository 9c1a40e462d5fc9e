"""Time as a parameter: code gets a clock, so that tests can advance time without waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

_NS_PER_MS = 1_000_000
_UPTIME_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The clocks and the sleep that the worker uses."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds, for times that are stored or displayed. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an unknown start, for measuring. It never jumps."""
        ...

    def uptime(self) -> float:
        """Return seconds from an unknown start, as `monotonic`, counting also the time in which the machine sleeps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        ...


class SystemClock:
    """The clock of this machine."""

    monotonic = staticmethod(time.monotonic)  # called often, so without a call of Python around it

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // _NS_PER_MS

    def uptime(self) -> float:
        """Return seconds from an unknown start; where the system has no such clock, those of `monotonic`."""
        return time.clock_gettime(_UPTIME_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, while other tasks run."""
        await asyncio.sleep(seconds)
