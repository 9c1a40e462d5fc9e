"""Answers in HTTP/1.0, as some proxies still speak it to what is behind them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def sending_without_chunks(cycle: RequestResponseCycle) -> Callable[[ASGISendEvent], Coroutine[Any, Any, None]]:
    """Return what sends an answer in HTTP/1.0, which knows no chunks: the end of the connection ends its body.

    uvicorn sends chunks, whatever the version.
    """
    send = cycle.send

    async def sending(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            if all(name.lower() != b"content-length" for name, _ in message.get("headers", ())):
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            cycle.expected_content_length = min(cycle.expected_content_length, len(message.get("body", b"")))
        await send(message)

    return sending
