"""What belongs to an event loop: connections, locks and tasks that another loop cannot use."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from producers.errors import WrongEventLoop

T = TypeVar("T")


class _Entry(NamedTuple):
    """The value of one loop, and the generator that closes it."""

    value: Any
    closing: AsyncGenerator[None, None]


class PerLoop(Generic[T]):
    """A value for each event loop that uses the object, such as in several calls of `asyncio.run`.

    Only one loop at a time may run: with several threads, each needs an object of its own. A value is closed when its
    loop ends, as `asyncio.run` ends it; that of a loop which was closed in another way is abandoned.
    """

    def __init__(
        self, make: Callable[[], T], *, close: Callable[[T], Awaitable[None]], abandon: Callable[[T], None]
    ) -> None:
        """Make no value yet.

        Args:
            make: returns the value for a loop.
            close: closes a value, in its loop.
            abandon: gives up a value whose loop is closed, without a loop.
        """
        self._make = make
        self._close = close
        self._abandon = abandon
        self._entries: dict[asyncio.AbstractEventLoop, _Entry] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._inherited: list[dict[asyncio.AbstractEventLoop, _Entry]] = []

    def current(self) -> T:
        """Return the value of the running loop.

        Raises:
            WrongEventLoop: another loop that has a value is running.
        """
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._leave_to_parent()
        with self._lock:
            self._abandon_closed()
            if any(other is not loop and other.is_running() for other in self._entries):
                raise WrongEventLoop(
                    "an event loop that is running in another thread uses this producer, or its Redis client; nothing"
                    " was written: make a producer for each thread, or share one of producers.sync"
                )
            entry = self._entries.get(loop)
            if entry is None:
                entry = self._entries[loop] = self._new_entry(loop)
            value: T = entry.value
            return value

    async def close(self) -> None:
        """Close the value of the running loop. A later call of `current` makes a new one."""
        with self._lock:
            self._abandon_closed()
            entry = self._entries.pop(asyncio.get_running_loop(), None)
        if entry is not None:
            await entry.closing.aclose()

    def _new_entry(self, loop: asyncio.AbstractEventLoop) -> _Entry:
        value = self._make()
        closing = self._close_at_end(loop, value)
        # Run it to its `yield`: this registers it with the loop, whose `shutdown_asyncgens` will close it.
        with suppress(StopIteration):
            closing.asend(None).send(None)
        return _Entry(value, closing)

    async def _close_at_end(self, loop: asyncio.AbstractEventLoop, value: T) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._entries.pop(loop, None)
            await self._close(value)

    def _abandon_closed(self) -> None:
        for loop in [loop for loop in self._entries if loop.is_closed()]:
            self._abandon(self._entries.pop(loop).value)

    def _leave_to_parent(self) -> None:
        """Forget the values of the process that this one was forked from, but keep them alive.

        Closing them here would remove their sockets from the parent's selector, which both processes share.
        """
        self._inherited.append(self._entries)
        self._entries, self._lock, self._pid = {}, threading.Lock(), os.getpid()
