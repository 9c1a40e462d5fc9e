"""What was read of Redis lately, so that not each call reads it again."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_KEPT = 1000


class Recent(Generic[T]):
    """What was read lately, by its name; None for what there was not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[float, T | None]] = {}

    async def get(self, name: str, read: Callable[[str], Awaitable[T | None]], max_age_s: float) -> T | None:
        """Return what has a name: as it was read lately, or else by `read`."""
        read_at_s, found = self._found.get(name, (-math.inf, None))
        now_s = self._clock()
        if now_s - read_at_s < max_age_s:
            return found
        found = await read(name)
        if len(self._found) >= MAX_KEPT:
            self._found.clear()
        self._found[name] = (now_s, found)
        return found

    def kept(self, name: str, max_age_s: float) -> T | None:
        """Return what was last read under a name, if that is not too long ago."""
        read_at_s, found = self._found.get(name, (-math.inf, None))
        return found if self._clock() - read_at_s < max_age_s else None

    def forget(self, name: str) -> None:
        """Read what has a name again at the next call."""
        self._found.pop(name, None)
