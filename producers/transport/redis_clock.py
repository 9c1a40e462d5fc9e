"""An estimate of Redis's clock; every stored time is on that clock."""

from __future__ import annotations

import time
from collections.abc import Callable


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class RedisClock:
    """The offset between Redis's clock and this machine's, updated by every reply that has the time.

    Attributes:
        known: whether there was an update. Until then the offset is 0.
    """

    def __init__(self, wall_ms: Callable[[], int] = _wall_ms) -> None:
        self.known = False
        self._wall_ms = wall_ms
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Return the time on Redis's clock, Unix milliseconds."""
        return self._wall_ms() + self._offset_ms

    def update(self, redis_now_ms: int) -> None:
        """Update the offset by the time in a reply that has just arrived."""
        self._offset_ms = redis_now_ms - self._wall_ms()
        self.known = True
