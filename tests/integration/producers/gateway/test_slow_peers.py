"""Callers that are slow: with a head, with a body, with reading an answer, or with their next call."""

from __future__ import annotations

import asyncio

import pytest

from producers.gateway.serving.protocol import ANSWER_S, BODY_S, DRAIN_S, HEAD_S, KEEP_ALIVE_S
from producers.gateway.serving.server import GatewayServer
from tests.support.raw_http import OK, App, answered, check_all, closed, connected, connections, until

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "after_s", "status"),
    [
        (b"", HEAD_S, b""),
        (b"GET / HT", HEAD_S, b"HTTP/1.1 408"),
        (b"\r\n\r\n\r\n", HEAD_S, b"HTTP/1.1 408"),
        (POST, BODY_S, b"HTTP/1.1 408"),
        (POST + b"some", BODY_S, b"HTTP/1.1 408"),
    ],
    ids=["nothing", "head", "line ends", "no body", "body"],
)
async def test_a_slow_writer_is_cut_off(server: GatewayServer, sent: bytes, after_s: float, status: bytes) -> None:
    """A little earlier it is not."""
    async with connected(server) as (reader, writer):
        writer.write(sent)
        await until(lambda: connections(server))
        (slow,) = connections(server)
        await until(lambda: slow._overhead_bytes or slow._is_receiving or not sent)
        check_all(server, after_s - 1)
        assert not reader.at_eof()
        check_all(server, after_s + 1)
        found = await reader.read(-1)

    assert found[:12] == status


async def test_the_rest_of_a_refused_body_is_read_for_a_while_only(server: GatewayServer) -> None:
    """And for that while the caller, which is still writing, can read its answer."""
    async with connected(server) as (reader, writer):
        writer.write(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        head = await answered(reader)
        writer.write(b"x" * 1000)
        check_all(server, DRAIN_S + 1)
        await closed(reader)

    assert head.startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed(server: GatewayServer) -> None:
    """Line ends between calls do not keep it."""
    async with connected(server) as (reader, writer):
        writer.write(OK)
        await answered(reader)
        writer.write(b"\r\n")
        check_all(server, KEEP_ALIVE_S + 1)
        await closed(reader)


async def test_a_reader_that_never_reads_is_cut_off(server: GatewayServer, app: App) -> None:
    """What waits for it is no more than one piece of its answer, and another caller is served meanwhile."""
    async with connected(server) as (_, writer):
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await app.called.wait()
        (slow,) = connections(server)
        await until(lambda: slow.flow.write_paused)
        unsent = slow.transport.get_write_buffer_size()
        async with connected(server) as (reader, other):
            other.write(OK)
            assert (await answered(reader)).startswith(b"HTTP/1.1 200")
        check_all(server, 0)
        check_all(server, ANSWER_S + 1)
        await until(lambda: slow not in connections(server))

    assert unsent < 300_000


@pytest.mark.parametrize(("bytes_a_second", "is_cut_off"), [(400, True), (600, False)])
async def test_a_reader_must_keep_a_minimum_rate(
    server: GatewayServer, app: App, monkeypatch: pytest.MonkeyPatch, bytes_a_second: int, *, is_cut_off: bool
) -> None:
    """However often it reads a little, and however much is written meanwhile."""
    async with connected(server) as (_, writer):
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await app.called.wait()
        (slow,) = connections(server)
        await until(lambda: slow.flow.write_paused)
        now_s, unsent = asyncio.get_running_loop().time(), slow.transport.get_write_buffer_size()
        slow.check(now_s)
        for after_s in range(1, 100):
            left = unsent - after_s * bytes_a_second
            monkeypatch.setattr(slow.transport, "get_write_buffer_size", lambda left=left: left)
            slow.check(now_s + after_s)
        is_closing = slow.transport.is_closing()

    assert is_closing == is_cut_off
