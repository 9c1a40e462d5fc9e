"""An HTTP server that answers as a test says, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from worker.exchange.client import ExchangeClient, RawReply

HEADERS = {"ACCESS-KEY": "hush-key", "ACCESS-PASSPHRASE": "hush-pass", "Content-Type": "application/json"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server on a free port that answers every request in one way, and keeps what it was sent.

    Attributes:
        url: where it listens.
        requests: head and body of every request that arrived.
        connections: how many were opened.
        received: how many bytes have arrived.
        arrived: set when a request has arrived.
        writer: of the connection that was opened last.
        disconnected: set when a client has closed a connection.
        answer: how it answers.
    """

    def __init__(self, answer: Answer) -> None:
        self.url = ""
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.received = 0
        self.arrived = asyncio.Event()
        self.writer: asyncio.StreamWriter
        self.disconnected = asyncio.Event()
        self.answer = answer
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept a connection."""
        self.connections += 1
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        """Close all connections."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests from one connection until it ends."""
        self.writer = writer
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            try:
                while not writer.is_closing():
                    await self._serve_one(reader, writer)
            except asyncio.IncompleteReadError as exc:
                self.received += len(exc.partial)
        self.disconnected.set()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.received += len(head)
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
        )
        body = await reader.readexactly(length)
        self.received += length
        self.requests.append((head, body))
        self.arrived.set()
        await self.answer(writer)


@contextlib.asynccontextmanager
async def peer(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Run a peer."""
    running = Peer(answer)
    server = await asyncio.start_server(running.accept, "127.0.0.1", 0, ssl=tls)
    running.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        server.close()
        await running.close()


def writes(*parts: bytes) -> Answer:
    """Return an answer of these bytes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


def writes_and_closes(*parts: bytes) -> Answer:
    """Answers with these bytes and ends the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await writes(*parts)(writer)
        writer.close()

    return answer


async def resets(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.transport.abort()


async def is_silent(_writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def post(answer: Answer, reply_limit_bytes: int = 1_000) -> RawReply:
    """One POST to a peer that answers so."""
    async with peer(answer) as other, ExchangeClient(other.url, 1, reply_limit_bytes=reply_limit_bytes) as exchange:
        return await exchange.post("/path", b"{}", HEADERS)
