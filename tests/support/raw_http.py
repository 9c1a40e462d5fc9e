"""Connections to the gateway's server on which anything can be written, and an application behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from producers.gateway.serving.protocol import GatewayProtocol
from producers.gateway.serving.server import GatewayServer
from tests.support.gateway import port_of

OK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
"""A call."""


class App:
    """An application that answers with the body that it gets; with many megabytes if the path is /large."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.release = asyncio.Event()
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a call."""
        if scope["type"] == "lifespan":
            return
        self.called.set()
        body, more = b"", True
        while more and scope["path"] != "/refused":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        if scope["path"] == "/held":
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for _ in range(200 if scope["path"] == "/large" else 0):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected(server: GatewayServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=1000)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchanged(server: GatewayServer, *sent: bytes) -> bytes:
    """Return all that a server answers, until it closes the connection."""
    async with connected(server) as (reader, writer):
        for part in sent:
            writer.write(part)
            await writer.drain()
        return await reader.read(-1)


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Return the head of an answer."""
    return await reader.readuntil(b"\r\n\r\n")


async def closed(reader: asyncio.StreamReader) -> None:
    """Wait until the connection is closed."""
    with suppress(ConnectionError):
        await reader.read(-1)


async def until(condition: Callable[[], object]) -> None:
    """Let the server run until something holds."""
    while not condition():  # noqa: ASYNC110 - what uvicorn has done shows in its fields only
        await asyncio.sleep(0)


def connections(server: GatewayServer) -> list[GatewayProtocol]:
    """Return the connections that a server has."""
    return [found for found in server.server_state.connections if isinstance(found, GatewayProtocol)]


def check_all(server: GatewayServer, after_s: float) -> None:
    """Look at all connections as if so much time had passed."""
    now_s = asyncio.get_running_loop().time()
    for connection in connections(server):
        connection.check(now_s + after_s)
