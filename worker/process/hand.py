"""How many attempts a worker process may have in hand: one bound for the dispatchers of all its shards."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CLAIM_BATCH_SIZE = 100
"""Most attempts that one claim takes."""


class AttemptsInHand:
    """Attempts in hand, and places that are reserved for claims under way.

    While there is no free place, dispatchers stand in line: each claims when it is its turn, and then stands last.
    """

    def __init__(self, limit: int, dispatchers: int = 1) -> None:
        """Create it.

        Args:
            limit: most attempts in hand.
            dispatchers: how many share it. One that waits for a Redis that is away then has only a part of the places.
        """
        self._limit = limit
        self._batch = min(CLAIM_BATCH_SIZE, -(-limit // dispatchers))
        self._taken = 0
        self._line: deque[Place] = deque()
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._is_empty = asyncio.Event()
        self._alone = asyncio.Lock()

    def place(self) -> Place:
        """Return what a dispatcher reserves and waits by."""
        return Place(self)

    def reserve(self, place: Place) -> int:
        """Reserve places for a claim. Return how many: 0 if none is free, or it is not this dispatcher's turn."""
        free = 0 if self._alone.locked() else self._limit - self._taken
        if free <= 0 or (self._line and self._line[0] is not place):
            if place not in self._line:
                self._line.append(place)
            self._update()
            return 0
        if self._line:
            self._line.popleft()
        reserved = min(free, self._batch)
        self._taken += reserved
        self._update()
        return reserved

    def release(self, places: int = 1) -> None:
        """Give places back: of an attempt that has ended, or of a claim that took less."""
        self._taken -= places
        self._update()

    def leave(self, place: Place) -> None:
        """Take a dispatcher that claims no more out of the line."""
        if place in self._line:
            self._line.remove(place)
        self._update()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Have nothing else in hand meanwhile. The caller has a place; the attempt that it starts gives it back."""
        self.release()  # others that want to be alone do not wait for it
        try:
            async with self._alone:
                while self._taken:
                    self._is_empty.clear()
                    await self._is_empty.wait()
                self._taken += 1
                yield
        finally:
            self._update()

    async def wait_free(self) -> None:
        """Wait until a place is free."""
        await self._is_free.wait()

    def _update(self) -> None:
        has_free = self._taken < self._limit and not self._alone.locked()
        (self._is_free.set if has_free else self._is_free.clear)()
        if not self._taken:
            self._is_empty.set()
        if self._line and has_free:
            self._line[0].has_turn.set()


class Place:
    """A dispatcher's place in the line.

    Attributes:
        has_turn: set when it may reserve.
    """

    def __init__(self, hand: AttemptsInHand) -> None:
        self._hand = hand
        self.has_turn = asyncio.Event()

    def reserve(self) -> int:
        """Reserve places for a claim; see `AttemptsInHand.reserve`."""
        self.has_turn.clear()
        return self._hand.reserve(self)

    async def wait_turn(self) -> None:
        """Wait until there is a free place and it is this dispatcher's turn, after `reserve` returned 0."""
        await self.has_turn.wait()

    def leave(self) -> None:
        """Stand in line no more."""
        self._hand.leave(self)
