"""The connection to the exchange, against a server that answers as the test says."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from producers.errors import SettingsError
from tests.support.http_peer import HEADERS, OK, Answer, is_silent, peer, post, resets, writes, writes_and_closes
from worker.errors import TransportError
from worker.exchange.client import ExchangeClient


async def test_body_path_and_headers_arrive_as_they_were_given() -> None:
    """The signature covers these bytes, so no spacing or quoting may change."""
    body = b'{ "a" : "\xc3\xa9" }'
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1) as exchange:
        reply = await exchange.post("/path?b=%7E,1&a=x%2Fy", body, HEADERS)

    head, received = other.requests[0]
    assert (reply.status, reply.body) == (200, b"{}")
    assert received == body
    assert head.startswith(b"POST /path?b=%7E,1&a=x%2Fy HTTP/1.1\r\n")
    for line in (b"ACCESS-KEY: hush-key", b"ACCESS-PASSPHRASE: hush-pass", b"Accept-Encoding: identity"):
        assert line in head.split(b"\r\n")
    assert head.count(b"Content-Type") == 1


async def test_a_get_carries_no_credentials() -> None:
    """It only asks for the exchange's time."""
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1) as exchange:
        reply = await exchange.get("/time")

    assert reply.body == b"{}"
    assert other.requests[0][0].startswith(b"GET /time HTTP/1.1\r\n")
    assert b"ACCESS" not in other.requests[0][0]


async def test_a_connection_serves_many_requests() -> None:
    """A handshake for each would cost more than the request."""
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1) as exchange:
        for _ in range(5):
            await exchange.post("/path", b"{}", HEADERS)

    assert (len(other.requests), other.connections) == (5, 1)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_a_reply_with_an_error_status_is_a_reply(status: int) -> None:
    """The classifier needs its status and body; only a missing reply is an exception."""
    reply = await post(writes(b"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nbody" % status))

    assert (reply.status, reply.body) == (status, b"body")


async def test_a_redirect_is_not_followed() -> None:
    """Signed headers must not reach another host."""
    async with peer(writes(OK)) as elsewhere:
        location = elsewhere.url.encode()
        reply = await post(writes(b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: %b/\r\n\r\n" % location))

    assert reply.status == 307
    assert elsewhere.requests == []


async def test_cookies_are_not_kept() -> None:
    """One user's reply must not mark another user's request."""
    answer = writes(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=1001\r\n\r\n"))
    async with peer(answer) as other, ExchangeClient(other.url, 1) as exchange:
        for _ in range(2):
            await exchange.post("/path", b"{}", HEADERS)

    assert b"cookie" not in other.requests[1][0].lower()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The egress address is part of a user's API key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert (await post(writes(OK))).status == 200


async def test_after_a_refused_connection_the_request_was_not_sent() -> None:
    """It can safely be repeated; the error names method and URL and keeps its cause."""
    async with peer(writes(OK)) as other:
        url = other.url

    async with ExchangeClient(url, 1) as exchange:
        with pytest.raises(TransportError, match=r"POST http://127\.0\.0\.1:.*/path: no connection: ") as caught:
            await exchange.post("/path", b"{}", HEADERS)

    assert not caught.value.sent
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("HTTP_PROXY", "; HTTP_PROXY is set, but workers use only COPYTRADE_EGRESS_PROXY"),
        ("all_proxy", "; all_proxy is set, but workers use only COPYTRADE_EGRESS_PROXY"),
        ("HTTPS_PROXY", ""),
    ],
)
async def test_a_proxy_variable_is_named_where_no_connection_can_be_made(
    monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    """Only a variable that would apply to the URL, and not its value, which may contain a password."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://me:hush@127.0.0.1:1")
    async with ExchangeClient("http://127.0.0.1:1", 1) as exchange:
        with pytest.raises(TransportError) as caught:
            await exchange.post("/path", b"{}", HEADERS)

    assert str(caught.value).partition(";")[2] == hint.removeprefix(";")
    assert "hush" not in str(caught.value)


async def test_after_a_failed_tls_handshake_the_request_was_not_sent() -> None:
    """The server answers in plain text and closes."""

    def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ExchangeClient(f"https://127.0.0.1:{port}", 1) as exchange:
            with pytest.raises(
                TransportError, match="no connection: the server does not speak TLS at this port"
            ) as caught:
                await exchange.post("/path", b"{}", HEADERS)

    assert not caught.value.sent


async def test_a_request_that_got_no_connection_in_time_was_not_sent() -> None:
    """The only connection is used by a request without an answer."""
    async with peer(is_silent) as other, ExchangeClient(other.url, 1, connect_timeout_s=0.5) as exchange:
        first = asyncio.create_task(exchange.post("/first", b"{}", HEADERS))
        await other.arrived.wait()

        with pytest.raises(TransportError, match="no connection: time-out") as caught:
            await exchange.post("/second", b"{}", HEADERS)

        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert not caught.value.sent
    assert len(other.requests) == 1


async def test_a_request_without_an_answer_in_time_may_have_been_applied() -> None:
    """The peer has read the whole request but stays silent."""
    async with peer(is_silent) as other, ExchangeClient(other.url, 1, total_timeout_s=0.5) as exchange:
        with pytest.raises(TransportError, match="no readable reply: time-out") as caught:
            await exchange.post("/path", b"{}", HEADERS)

    assert caught.value.sent
    assert other.requests[0][1] == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(resets, id="reset"),
        pytest.param(writes_and_closes(), id="closed"),
        pytest.param(writes_and_closes(b"HTTP/1.1 200 OK\r\nContent-Le"), id="cut head"),
        pytest.param(writes_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), id="cut body"),
        pytest.param(
            writes_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), id="cut in a chunk"
        ),
        pytest.param(writes(b"SSH-2.0-OpenSSH\r\n\r\n"), id="not HTTP"),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), id="broken header"),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"), id="broken gzip"
        ),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", b"x" * 1001), id="too long"),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"64\r\n" + b"x" * 100 + b"\r\n"] * 20),
            id="without end",
        ),
    ],
)
async def test_a_request_without_a_readable_reply_may_have_been_applied(answer: Answer) -> None:
    """The error leads to no header."""
    with pytest.raises(TransportError, match=r"POST .*/path: no readable reply: ") as caught:
        await post(answer)

    assert caught.value.sent
    shown = ["".join(traceback.format_exception(caught.value))]
    link: BaseException | None = caught.value
    while link is not None:
        shown += [str(link), repr(link), repr(link.args)]
        link = link.__cause__ or link.__context__
    assert not any("hush" in text for text in shown)


async def test_a_reply_of_exactly_the_size_limit_is_read() -> None:
    """1,000 bytes in two parts; one byte more is too large."""
    reply = await post(writes(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x" * 400, b"x" * 600))

    assert len(reply.body) == 1000


async def test_after_an_error_the_next_request_succeeds() -> None:
    """A broken connection is replaced."""
    answers = iter([resets, writes(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000), writes(OK)])

    async def answer(writer: asyncio.StreamWriter) -> None:
        await next(answers)(writer)

    async with peer(answer) as other, ExchangeClient(other.url, 1, reply_limit_bytes=1_000) as exchange:
        for _ in range(2):
            with pytest.raises(TransportError):
                await exchange.post("/path", b"{}", HEADERS)
        assert (await exchange.post("/path", b"{}", HEADERS)).body == b"{}"


async def test_a_cancelled_request_stays_cancelled() -> None:
    """A shutdown must not turn into a transport error that is retried."""
    async with peer(is_silent) as other, ExchangeClient(other.url, 1) as exchange:
        request = asyncio.create_task(exchange.post("/path", b"{}", HEADERS))
        await other.arrived.wait()
        request.cancel()

        with pytest.raises(asyncio.CancelledError):
            await request


async def test_an_exchange_that_is_not_open_says_how_to_open_it() -> None:
    """Before and after `async with`."""
    exchange = ExchangeClient("http://127.0.0.1:1", 1)

    with pytest.raises(RuntimeError, match="async with"):
        await exchange.get("/time")
    async with exchange:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        await exchange.get("/time")


def test_a_client_needs_a_url_of_scheme_and_host() -> None:
    """The rules are those of the setting."""
    with pytest.raises(SettingsError, match="scheme and host only"):
        ExchangeClient("https://api.bitget.com/api", 1)


@pytest.mark.parametrize("url", ["https://api.bitget.com", "https://api.bitget.com/", "http://[::1]:8080"])
def test_a_url_of_scheme_and_host_is_accepted(url: str) -> None:
    """With a trailing slash, and with an IPv6 address and a port."""
    ExchangeClient(url, 1)
