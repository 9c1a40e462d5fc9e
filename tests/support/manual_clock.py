"""A clock that only a test moves."""

from __future__ import annotations

START_US = 1_790_000_000_000_000


class ManualClock:
    """A `worker.clock.Clock` that only a test moves. Its Unix time can also stand in for `time.time`."""

    def __init__(self) -> None:
        self._elapsed_us = 0
        self._step_us = 0

    @property
    def now_us(self) -> int:
        """Unix time, microseconds."""
        return START_US + self._elapsed_us + self._step_us

    @property
    def now_ms(self) -> int:
        """Unix time, milliseconds."""
        return self.now_us // 1000

    def time(self) -> float:
        """Unix time, seconds: what fakeredis asks for, and so what its `TIME` answers."""
        return self.now_us / 1_000_000

    def wall_ms(self) -> int:
        """Unix time, milliseconds."""
        return self.now_ms

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self._elapsed_us / 1_000_000

    def uptime(self) -> float:
        """Seconds since the test began."""
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self._elapsed_us += max(0, round(seconds * 1_000_000))

    def step(self, seconds: float) -> None:
        """Set Unix time forward or back, and leave the monotonic clock alone."""
        self._step_us += round(seconds * 1_000_000)

    def advance_to_us(self, at_us: int) -> None:
        """Move time on to a moment that is still to come."""
        self._elapsed_us = max(self._elapsed_us, at_us - START_US)
