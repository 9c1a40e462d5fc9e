"""A relay between a client and its server, which ends TLS or loses replies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Relay:
    """Passes bytes on to a port of this machine.

    Attributes:
        to_port: where the server is.
        port: where it listens.
        deaf: swallows what the server answers; requests pass.
        deaf_from: a request that holds this makes it deaf.
        swallowed: is set when it has swallowed an answer.
    """

    to_port: int
    port: int = 0
    deaf: bool = False
    deaf_from: bytes | None = None
    swallowed: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, server_writer))
                both.create_task(self._pass(server_reader, writer, replies=True))
        finally:
            self._under_way.discard(task)
            for one in (writer, server_writer):
                one.close()

    async def close(self) -> None:
        """Close all connections."""
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool = False) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if not replies and self.deaf_from is not None and self.deaf_from in chunk:
                    self.deaf = True
                if replies and self.deaf:
                    self.swallowed.set()
                else:
                    writer.write(chunk)
                    await writer.drain()
        with suppress(OSError):
            writer.close()


@asynccontextmanager
async def relay(to_port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """Run a relay.

    Args:
        to_port: where the server is.
        context: ends TLS with it; without, it speaks none.
    """
    between = Relay(to_port)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0, ssl=context)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        await between.close()
