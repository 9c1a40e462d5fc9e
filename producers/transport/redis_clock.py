"""Redis's clock, as far as a producer knows it: all that is stored is timed by it."""

from __future__ import annotations

import time
from collections.abc import Callable


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class RedisClock:
    """How far Redis's clock is from this machine's; learnt from every reply that tells the time.

    Attributes:
        known: whether it was told yet. Until then the two are taken for the same.
    """

    def __init__(self, wall_ms: Callable[[], int] = _wall_ms) -> None:
        self.known = False
        self._wall_ms = wall_ms
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._wall_ms() + self._offset_ms

    def learn(self, redis_now_ms: int) -> None:
        """Takes what a reply told."""
        self._offset_ms = redis_now_ms - self._wall_ms()
        self.known = True
