"""Data that no request asked for: its connection is not used again."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp
import pytest

from tests.support.http_peer import HEADERS, Answer, peer, writes
from worker.errors import TransportError
from worker.exchange.client import ExchangeClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
FIRST, UNSOLICITED, SECOND = HEAD + b"first", HEAD + b"extra", HEAD + b"later"
WITHIN_S = 30.0


def answers(*replies: Answer) -> Answer:
    """Return an answer that differs from request to request."""
    remaining = iter(replies)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await next(remaining)(writer)

    return answer


@pytest.mark.parametrize(
    "unsolicited",
    [
        pytest.param(UNSOLICITED, id="a reply"),
        pytest.param(UNSOLICITED[:20], id="a part of a reply"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim reply"),
        pytest.param(b"\r\n", id="a blank line"),
        pytest.param(b"junk", id="no HTTP"),
    ],
)
async def test_a_connection_that_received_data_while_idle_is_closed(unsolicited: bytes) -> None:
    """At once, so that it cannot answer the next request."""
    async with peer(answers(writes(FIRST), writes(SECOND))) as other, ExchangeClient(other.url, 1) as exchange:
        first = await exchange.post("/path", b"{}", HEADERS)
        other.writer.write(unsolicited)
        async with asyncio.timeout(WITHIN_S):
            await other.disconnected.wait()
        second = await exchange.post("/path", b"{}", HEADERS)

    assert (first.body, second.body, other.connections) == (b"first", b"later", 2)


async def test_data_that_waits_in_the_socket_is_noticed_before_the_next_request() -> None:
    """The event loop has not read it yet, as after a stall."""
    async with peer(answers(writes(FIRST), writes(SECOND))) as other, ExchangeClient(other.url, 1) as exchange:
        await exchange.post("/path", b"{}", HEADERS)
        os.write(other.writer.get_extra_info("socket").fileno(), UNSOLICITED)
        second = await exchange.post("/path", b"{}", HEADERS)

    assert (second.body, other.connections) == (b"later", 2)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([FIRST + UNSOLICITED], id="in one segment"),
        pytest.param([FIRST[:-2], FIRST[-2:] + UNSOLICITED], id="with the end of the body"),
    ],
)
async def test_a_second_reply_behind_the_first_is_not_used(parts: list[bytes]) -> None:
    """Two replies to one request."""

    async def in_segments(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            os.write(writer.get_extra_info("socket").fileno(), part)
            for _ in range(10):  # turns of the event loop, in which the client reads
                await asyncio.sleep(0)

    async with peer(answers(in_segments, writes(SECOND))) as other, ExchangeClient(other.url, 1) as exchange:
        first = await exchange.post("/path", b"{}", HEADERS)
        second = await exchange.post("/path", b"{}", HEADERS)

    assert (first.body, second.body, other.connections) == (b"first", b"later", 2)


async def test_a_reply_before_the_first_request_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is not the exchange. Nothing was sent."""
    has_greeted = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []
    connect = aiohttp.TCPConnector.connect

    def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        os.write(writer.get_extra_info("socket").fileno(), UNSOLICITED)
        has_greeted.set()

    async def connect_slowly(*arguments: Any) -> Any:
        connection = await connect(*arguments)
        await has_greeted.wait()
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect_slowly)
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ExchangeClient(f"http://127.0.0.1:{port}", 1) as exchange:
            with pytest.raises(TransportError, match="no connection: the server sent data before") as caught:
                await exchange.post("/path", b"{}", HEADERS)
        writers[0].close()

    assert not caught.value.sent
