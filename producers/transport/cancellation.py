"""Cancellation of background tasks, repeated until they have ended."""

from __future__ import annotations

import asyncio
from typing import Any

CANCEL_AGAIN_S = 0.1


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and return when it has ended; its result or exception is ignored.

    Cancels repeatedly: before Python 3.12, redis-py's use of `asyncio.wait_for` may swallow a cancellation.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()  # asyncio logs an exception that nobody has read
