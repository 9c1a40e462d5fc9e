"""Waiting for a result: poll after each notification, and at intervals in case a notification was lost."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from producers.transport.notifications import NotificationListener

POLL_INTERVAL_S = 5.0
"""How often a waiter polls without a notification, in case one was lost with a connection."""

T = TypeVar("T")


async def wait_for(
    listener: NotificationListener, channel: str, poll: Callable[[], Awaitable[T | None]], timeout_s: float | None
) -> T | None:
    """Return what `poll` returns as soon as that is not None; None after the timeout.

    Args:
        listener: the listener that subscribes to the channel.
        channel: the channel that announces when polling may succeed.
        poll: returns None while there is no result.
        timeout_s: seconds to wait; None waits for ever, 0 polls once.
    """
    found = await poll()
    if found is not None or (timeout_s is not None and timeout_s <= 0):
        return found
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            return await _poll_on_notifications(listener, channel, poll, deadline_s)
    return None


async def _poll_on_notifications(
    listener: NotificationListener, channel: str, poll: Callable[[], Awaitable[T | None]], deadline_s: float
) -> T:
    """Poll until there is a result. Raise TimeoutError at `deadline_s` (monotonic clock).

    The deadline is checked here too: before Python 3.12, redis-py's use of `asyncio.wait_for` may swallow the time-out.
    """
    async with listener.listen(channel) as event:
        while True:
            event.clear()  # before polling: a notification during the poll must not be lost
            found = await poll()
            if found is not None:
                return found
            wait_s = min(POLL_INTERVAL_S, deadline_s - time.monotonic())
            if wait_s <= 0:
                raise TimeoutError
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await event.wait()
