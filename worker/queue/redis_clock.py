"""Whether Redis's clock runs like this machine's monotonic one, or was set. No I/O.

Rates and holds follow Redis's clock. When it is set forward, windows seem to have passed that have not: then a user may
exceed its own limit, and the 429 must not be taken for the limit of the egress.
"""

from __future__ import annotations

from typing import Final

MAX_CLOCK_ERROR_S: Final = 0.25
"""Differences up to this are a slow reply or a busy Redis; a clock that is set by less moves windows by a quarter."""


class RedisClockMonitor:
    """Compares readings of Redis's clock with the monotonic one."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._steady_since_s = 0.0

    def observe(self, redis_s: float, asked_s: float, answered_s: float) -> float:
        """Return for how many seconds Redis's clock has certainly not been set.

        Args:
            redis_s: Redis's time.
            asked_s: when Redis was asked for it, monotonic clock.
            answered_s: when the reply came. If that took too long, the reading shows nothing, and 0 is returned.
        """
        if answered_s - asked_s > MAX_CLOCK_ERROR_S:
            return 0.0
        offset_s = redis_s - answered_s
        if self._offset_s is None or abs(offset_s - self._offset_s) > MAX_CLOCK_ERROR_S:
            self._steady_since_s = answered_s
        self._offset_s = offset_s
        return answered_s - self._steady_since_s
