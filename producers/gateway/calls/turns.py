"""Turns: a call that takes long lets others have theirs, after some ms, whatever it does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TURN_S = 0.005
"""How long a call may keep others waiting."""


class Turns:
    """The turns of one call; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s = clock()

    async def give(self) -> None:
        """Let other calls have their turn, if this one's is over."""
        if self._clock() - self._since_s >= TURN_S:
            await asyncio.sleep(0)
            self._since_s = self._clock()
