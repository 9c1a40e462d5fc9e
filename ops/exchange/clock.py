"""The double's two clocks: a monotonic one for rate limits, and the exchange's time of day for timestamps."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The double's source of time.

    Args:
        monotonic_ns: nanoseconds of a clock that never goes back.
        wall_ms: the machine's time, Unix milliseconds.

    Attributes:
        monotonic_ns: the function that was passed.
        skew_ms: how far the exchange's time is ahead of the machine's, milliseconds; may be changed at any time.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.monotonic_ns = monotonic_ns
        self.skew_ms = 0
        self._wall_ms = wall_ms

    def now_ms(self) -> int:
        """Return the exchange's time, Unix milliseconds."""
        return self._wall_ms() + self.skew_ms
