"""An HTTP proxy that passes connections on after CONNECT, or answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ConnectProxy:
    """A proxy on a free port of the loopback.

    Attributes:
        port: where it listens.
        heads: the head of each request.
        peers: the address that each came from.
        answer: what it answers to CONNECT; it passes on only after `ESTABLISHED`.
    """

    def __init__(self, answer: bytes = ESTABLISHED) -> None:
        self.port = 0
        self.heads: list[bytes] = []
        self.peers: list[str] = []
        self.answer = answer
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.peers.append(writer.get_extra_info("peername")[0])
            writer.write(self.answer)
            if self.answer == ESTABLISHED:
                host, _, port = self.heads[-1].split()[1].decode().rpartition(":")
                await _pass_on(reader, writer, host, int(port))

    async def close(self) -> None:
        """Break all connections."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    server_reader, server_writer = await asyncio.open_connection(host, port)
    with contextlib.closing(server_writer):
        ways = [_copy(reader, server_writer), _copy(server_reader, writer)]
        await asyncio.wait({asyncio.create_task(way) for way in ways}, return_when=asyncio.FIRST_COMPLETED)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            target.write(data)


@asynccontextmanager
async def connect_proxy(answer: bytes = ESTABLISHED) -> AsyncIterator[ConnectProxy]:
    """Run a proxy."""
    proxy = ConnectProxy(answer)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
