"""Time as a parameter: code that decides is given a clock, so that its tests need not wait."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

_NS_PER_MS = 1_000_000


class Clock(Protocol):
    """What this package may ask about time."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds, for what is stored or shown. It may step."""
        ...

    def monotonic(self) -> float:
        """Seconds from an unknown start, for what is measured. It never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
        ...


class SystemClock:
    """The clock of this machine."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // _NS_PER_MS

    def monotonic(self) -> float:
        """Seconds from an unknown start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; other tasks run meanwhile."""
        await asyncio.sleep(seconds)
