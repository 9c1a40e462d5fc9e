"""The way out: from a named local address, and through a named proxy, whose answers are never the exchange's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from producers.errors import SettingsError
from tests.support.http_peer import HEADERS, OK, Peer, peer, writes
from tests.support.proxies import connect_proxy
from tests.support.tls import Authority
from worker.errors import NotSent, ProxyFailed, TransportError
from worker.exchange.client import ExchangeClient
from worker.exchange.connections import check_local_address
from worker.secret import Secret
from worker.settings import Proxy, WorkerSettings

PASSWORD = "hush:p@ss"
URL = "https://api.bitget.com"


@pytest.fixture
async def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Peer]:
    """An exchange with TLS, whose certificate clients trust."""
    authority = Authority.new(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority.path))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with peer(writes(OK), tls=authority.context("127.0.0.1")) as running:
        yield running


def through(address: str, *, user: str = "", scheme: str = "http") -> Proxy | None:
    """Return the proxy of a setting."""
    return WorkerSettings(exchange_url=URL, egress_proxy=Secret(f"{scheme}://{user}{address}")).proxy


async def test_requests_leave_from_the_address_that_is_named() -> None:
    """Of several on one machine."""
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1, bind="127.0.0.2") as client:
        assert (await client.get("/path")).status == 200
        assert other.writer.get_extra_info("peername")[0] == "127.0.0.2"


def test_an_address_that_this_machine_does_not_have_is_refused() -> None:
    """Before anything is sent; 192.0.2.1 is of documentation only (RFC 5737)."""
    check_local_address("127.0.0.3")

    with pytest.raises(SettingsError, match=r"^COPYTRADE_EGRESS_BIND: this machine cannot send from 192\.0\.2\.1: "):
        check_local_address("192.0.2.1")


async def test_requests_go_through_the_proxy_in_tls_that_it_cannot_read(exchange: Peer) -> None:
    """It sees where to, and its own password; the exchange does not see that password. Connections are used again."""
    async with connect_proxy() as proxy:
        named = through(proxy.address, user="me:hush%3Ap%40ss@")
        async with ExchangeClient(exchange.url, 2, bind="127.0.0.2", proxy=named) as client:
            for _ in range(3):
                assert (await client.post("/path", b"{}", HEADERS)).body == b"{}"

        (head,) = proxy.heads
        assert head.startswith(f"CONNECT {exchange.url.removeprefix('https://')} HTTP/1.1\r\n".encode())
        assert b"\r\nProxy-Authorization: Basic bWU6aHVzaDpwQHNz\r\n" in head
        assert b"hush-key" not in head
        assert proxy.peers == ["127.0.0.2"]
        assert not any(b"proxy-authorization" in sent.lower() for sent, _ in exchange.requests)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "rejects its user and password (407): correct COPYTRADE_EGRESS_PROXY",
        ),
        (
            b'HTTP/1.1 502 Bad\r\nContent-Length: 16\r\n\r\n{"code":"00000"}',
            "does not connect to the exchange: it answered 502",
        ),
        (b'HTTP/1.1 429 No\r\nContent-Length: 14\r\n\r\n{"code":"429"}', "it answered 429"),
        (b'{"code":"00000","data":"success"}\r\n\r\n', "no connection through the proxy"),
        (b"", "no connection through the proxy"),
    ],
    ids=["407", "502", "429", "not HTTP", "closed"],
)
async def test_an_answer_of_the_proxy_is_no_reply_of_the_exchange(exchange: Peer, answer: bytes, problem: str) -> None:
    """Nothing was sent, whatever it looks like; the error names the proxy, and neither its password nor its words."""
    async with connect_proxy(answer) as proxy:
        client = ExchangeClient(exchange.url, 1, proxy=through(proxy.address, user="me:hush%3Ap%40ss@"))
        async with client:
            with pytest.raises(ProxyFailed) as caught:
                await client.post("/path", b"{}", HEADERS)

    assert not caught.value.sent
    assert proxy.address in str(caught.value)
    assert problem in str(caught.value)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "00000" not in shown
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert exchange.requests == []


async def test_a_proxy_that_is_down_is_named(exchange: Peer) -> None:
    """Nothing was sent."""
    async with connect_proxy() as proxy:
        address = proxy.address

    async with ExchangeClient(exchange.url, 1, proxy=through(address)) as client:
        with pytest.raises(ProxyFailed, match=f"no connection to the proxy {address}: "):
            await client.post("/path", b"{}", HEADERS)


@pytest.mark.usefixtures("exchange")
async def test_a_proxy_that_answers_as_the_exchange_itself_is_not_believed(tmp_path: Path) -> None:
    """Its certificate is not the exchange's."""
    tls = Authority.new(tmp_path, "other").context("127.0.0.1")
    async with peer(writes(OK), tls=tls) as impostor, connect_proxy() as proxy:
        async with ExchangeClient(impostor.url, 1, proxy=through(proxy.address)) as client:
            with pytest.raises(ProxyFailed, match="no connection through the proxy"):
                await client.post("/path", b"{}", HEADERS)
        assert impostor.requests == []


async def test_a_request_that_may_not_be_sent_any_more_opens_a_tunnel_at_most(exchange: Peer) -> None:
    """The exchange sees nothing of it."""
    async with connect_proxy() as proxy, ExchangeClient(exchange.url, 1, proxy=through(proxy.address)) as client:
        with pytest.raises(NotSent):
            await client.post("/path", b"{}", HEADERS, may_send=lambda: False)

    assert exchange.requests == []


async def test_a_reply_that_is_cut_behind_a_proxy_is_ambiguous(exchange: Peer) -> None:
    """The exchange may have applied the request: the proxy is not blamed."""

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")
        writer.close()

    exchange.answer = cut
    async with connect_proxy() as proxy, ExchangeClient(exchange.url, 1, proxy=through(proxy.address)) as client:
        with pytest.raises(TransportError) as caught:
            await client.post("/path", b"{}", HEADERS)

    assert caught.value.sent
    assert not isinstance(caught.value, ProxyFailed)


@pytest.mark.parametrize(
    "proxy",
    ["10.0.0.7:3128", "socks5://10.0.0.7:1080", "http://10.0.0.7", "http://10.0.0.7:0", "http://me@hush:1/path?x"],
)
def test_a_setting_that_is_no_proxy_is_refused_without_quoting_it(proxy: str) -> None:
    """It may contain a password."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_EGRESS_PROXY: must be http:// or https://") as caught:
        WorkerSettings(exchange_url=URL, egress_proxy=Secret(proxy))

    assert "hush" not in str(caught.value)


def test_a_proxy_needs_tls_to_the_exchange() -> None:
    """Else its own answers could be taken for the exchange's."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_EGRESS_PROXY: needs an exchange with https://"):
        WorkerSettings(exchange_url="http://127.0.0.1:1", egress_proxy=Secret("http://127.0.0.1:2"))


def test_an_address_to_send_from_must_be_one() -> None:
    """Not a name, and not an interface."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_EGRESS_BIND: must be an IP address of this machine"):
        WorkerSettings(egress_bind="eth0")
