"""Waiting for something to be told on a channel, and looking at it from time to time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from producers.transport.notifications import NotificationListener

LOOK_AGAIN_S = 5.0
"""A waiter looks by itself this often, in case an announcement was lost with a connection."""

T = TypeVar("T")


async def wait_for(
    listener: NotificationListener, channel: str, look: Callable[[], Awaitable[T | None]], timeout_s: float | None
) -> T | None:
    """What `look` finds, as soon as it finds something; None if it found nothing in time.

    Args:
        listener: hears the channel.
        channel: is told when it is worth to look.
        look: returns None while there is nothing.
        timeout_s: seconds to wait; None waits for ever, 0 only looks.
    """
    found = await look()
    if found is not None or (timeout_s is not None and timeout_s <= 0):
        return found
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            return await _wait(listener, channel, look, deadline_s)
    return None


async def _wait(
    listener: NotificationListener, channel: str, look: Callable[[], Awaitable[T | None]], deadline_s: float
) -> T:
    """The deadline (monotonic clock) is looked at here too.

    Before Python 3.12, redis-py's use of `asyncio.wait_for` may swallow the caller's time-out.
    """
    async with listener.listen(channel) as event:
        while True:
            event.clear()  # before looking: what is announced meanwhile must not be lost
            found = await look()
            if found is not None:
                return found
            patience_s = min(LOOK_AGAIN_S, deadline_s - time.monotonic())
            if patience_s <= 0:
                raise TimeoutError
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await event.wait()
