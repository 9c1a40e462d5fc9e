"""The gateway's HTTP itself: what is not HTTP/1.1, what is too large or too much."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from producers.gateway.serving.server import GatewayServer
from tests.support.raw_http import OK, App, answered, closed, connected, connections, exchanged, until

REFUSED = [
    (b"nonsense\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a?://b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000, 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"a" * 900_000, 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 900_000, 431),
]


async def test_what_is_not_http_gets_a_problem_and_the_connection_is_closed(server: GatewayServer) -> None:
    """Framing that two servers could read in two ways is refused, too."""
    found = [(sent, await exchanged(server, sent)) for sent, _ in REFUSED]

    assert [(sent[:60], answer[:13]) for sent, answer in found] == [
        (sent[:60], b"HTTP/1.1 %d " % status) for sent, status in REFUSED
    ]
    assert all(b"content-type: application/problem+json" in answer for _, answer in found)
    assert all(b"connection: close" in answer for _, answer in found)


@pytest.mark.parametrize("refused", [b"nonsense", b"GET / HTTP/1.1\r\nHost: a\r\n\0", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_refusal_never_takes_the_place_of_another_calls_answer(
    server: GatewayServer, app: App, refused: bytes
) -> None:
    """The call before it is answered, and then the connection is closed."""
    async with connected(server) as (reader, writer):
        writer.write(b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok" + refused)
        await app.called.wait()
        app.release.set()
        found = await reader.read(-1)

    assert found.startswith(b"HTTP/1.1 200 ")
    assert found.count(b"HTTP/1.1") == 1


async def test_pipelined_calls_are_answered_in_their_order(server: GatewayServer) -> None:
    """Each with its own body."""
    one, two = (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + body for body in (b"one", b"two"))
    async with connected(server) as (reader, writer):
        writer.write(one + two)
        found = [await reader.readuntil(b"0\r\n\r\n") for _ in range(2)]

    assert [b"one" in found[0], b"two" in found[1]] == [True, True]


async def test_a_call_that_asks_for_http_2_keeps_its_body(server: GatewayServer, app: App) -> None:
    """As Java's HttpClient sends each first call: it is served with HTTP/1.1, and so is the next one."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA"
    call = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + upgrade + b"\r\n\r\nabc"
    async with connected(server) as (reader, writer):
        for _ in range(2):
            writer.write(call)
            assert b"abc" in await reader.readuntil(b"0\r\n\r\n")

    assert app.bodies == [b"abc"] * 2


async def test_what_else_is_asked_for_with_another_protocol_is_kept(server: GatewayServer) -> None:
    """A connection is closed after its answer."""
    async with connected(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: close, Upgrade\r\n\r\n")
        found = await asyncio.wait_for(reader.read(-1), 30)

    assert found.startswith(b"HTTP/1.1 200")


async def test_a_target_that_names_the_host_is_served(server: GatewayServer) -> None:
    """As callers behind a proxy write it, and every server must take it (RFC 9112, section 3.2.2)."""
    async with connected(server) as (reader, writer):
        writer.write(b"GET http://A:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n")
        assert (await answered(reader)).startswith(b"HTTP/1.1 200")


async def test_a_stream_to_a_caller_of_http_1_0_has_no_chunks(server: GatewayServer) -> None:
    """The end of the connection ends it."""
    found = await exchanged(server, b"POST /large HTTP/1.0\r\nContent-Length: 3\r\n\r\nend")
    head, _, content = found.partition(b"\r\n\r\n")

    assert b"transfer-encoding" not in head
    assert content == b"x" * 20_000_000 + b"end"


async def test_trailers_are_no_headers(server: GatewayServer) -> None:
    """An access key in one would be a key that a proxy has not seen."""
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: b\r\n\r\n"
    async with connected(server) as (reader, writer):
        writer.write(chunked)
        await answered(reader)
        (connection,) = connections(server)

    assert connection.headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


async def test_a_body_is_asked_for_with_100_continue_only_when_it_is_wanted(server: GatewayServer) -> None:
    """A refused call need not send it."""
    expecting = b"Host: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with connected(server) as (reader, writer):
        writer.write(b"POST /wanted HTTP/1.1\r\n" + expecting)
        wanted = await answered(reader)
    async with connected(server) as (reader, writer):
        writer.write(b"POST /refused HTTP/1.1\r\n" + expecting)
        refused = await answered(reader)

    assert (wanted, refused[:12]) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200")


async def test_idle_connections_give_way_to_new_ones(server: GatewayServer) -> None:
    """So a thousand slow heads keep nobody out; those that wait longest go first."""
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(server)) for _ in range(5)]
        for _, writer in slow:
            writer.write(b"GET / HT")
        reader, writer = await stack.enter_async_context(connected(server))
        writer.write(OK)
        assert (await answered(reader)).startswith(b"HTTP/1.1 200")
        await closed(slow[0][0])
        assert len(server.server_state.connections) <= 3


async def test_a_call_too_many_gets_503(server: GatewayServer) -> None:
    """When each connection has a call under way; as a problem that says when to come again."""
    held = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await stack.enter_async_context(connected(server))
            writer.write(held)
        await until(lambda: len(server.server_state.tasks) == 3)
        found = await exchanged(server, OK)

    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in found
    assert b'"type":"urn:copytrade:problem:service-unavailable"' in found
