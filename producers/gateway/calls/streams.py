"""Answers that last: how many event streams a process serves, and that an answer ends with its access key."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from litestar.response import Stream

from producers.gateway.calls.problems import TooManyCalls
from producers.gateway.calls.service import AnyRequest, Gateway, is_still_admitted

EVENTS = "text/event-stream"


async def event_stream(gateway: Gateway, events: AsyncGenerator[bytes, None]) -> Stream:
    """Return a response of server-sent events.

    Raises:
        TooManyCalls: as many as the limit are open.
    """
    limit = gateway.settings.gateway_streams
    if gateway.open_streams >= limit:
        raise TooManyCalls(f"this process serves {limit:,} event streams at most")
    counted = _counted(gateway, events)
    await anext(counted)  # counts it now; and only a generator that has begun is closed if nobody reads it
    return Stream(counted, media_type=EVENTS, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def while_admitted(request: AnyRequest, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Pass on events as long as the caller's access key is valid."""
    async with aclosing(events):
        async for event in events:
            if not await is_still_admitted(request):
                return
            yield event


async def _counted(gateway: Gateway, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    gateway.open_streams += 1
    try:
        yield b""
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        gateway.open_streams -= 1
