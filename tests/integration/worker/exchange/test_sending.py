"""Whether a request may still be sent is asked just before it is written, and its time is taken then."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import BytesPayload
from aiohttp.http_writer import StreamWriter

from producers.transport.cancellation import cancel_and_wait
from tests.support.http_peer import HEADERS, OK, is_silent, peer, writes
from worker.errors import NotSent
from worker.exchange.client import ExchangeClient
from worker.exchange.sending import SendingBody


async def test_the_round_trip_is_measured_from_the_send() -> None:
    """Without the wait for a connection: here the clock ticks once at each reading."""

    class Ticks:
        def __init__(self) -> None:
            self.now_s = 0.0

        def wall_ms(self) -> int:
            return 0

        def monotonic(self) -> float:
            self.now_s += 1
            return self.now_s

        def uptime(self) -> float:
            return self.now_s

        async def sleep(self, seconds: float) -> None:
            self.now_s += seconds

    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1, clock=Ticks()) as exchange:
        assert (await exchange.post("/path", b"{}", HEADERS)).took_s == 1.0
        assert (await exchange.get("/time")).took_s == 1.0


@pytest.mark.parametrize("before", [0, 1], ids=["a new connection", "a used connection"])
async def test_a_request_that_may_no_longer_be_sent_is_not_sent(before: int) -> None:
    """Not a byte of it, and the connection is closed: its head alone has a signature that is valid for a while."""
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1) as exchange:
        for _ in range(before):
            await exchange.post("/path", b"{}", HEADERS)
        received = other.received
        with pytest.raises(NotSent, match="not sent, the worker's session had ended"):
            await exchange.post("/path", b"{}", HEADERS, may_send=lambda: False)
        await other.disconnected.wait()

        assert (other.received, other.connections) == (received, 1)


async def test_a_reply_to_a_request_that_was_not_sent_is_not_its_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sent it: the request may not be sent any more, and its change is not settled by it."""
    write = SendingBody.write_with_length

    async def after_a_reply(body: SendingBody, writer: StreamWriter, content_length: int | None) -> None:
        writer.protocol.data_received(OK)
        await write(body, writer, content_length)

    monkeypatch.setattr(SendingBody, "write_with_length", after_a_reply)
    async with peer(is_silent) as other, ExchangeClient(other.url, 1) as exchange:
        with pytest.raises(NotSent):
            await exchange.post("/path", b"{}", HEADERS, may_send=lambda: False)


async def test_a_reply_counts_only_if_it_was_asked_whether_its_request_may_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later aiohttp may write a body in another way: the first reply says so, and no session is held by luck."""
    monkeypatch.setattr(SendingBody, "write_with_length", BytesPayload.write_with_length)
    async with peer(writes(OK)) as other, ExchangeClient(other.url, 1) as exchange:
        with pytest.raises(RuntimeError, match="this version of aiohttp cannot be used"):
            await exchange.post("/path", b"{}", HEADERS)


async def test_whether_a_request_may_be_sent_is_asked_once_when_it_has_a_connection() -> None:
    """The session may end while the request waits for one, and does not stop what was written."""
    other_was_sent: list[bool] = []
    async with peer(is_silent) as other, ExchangeClient(other.url, 1) as exchange:

        def may_send() -> bool:
            other_was_sent.append(first.done())
            return True

        first = asyncio.create_task(exchange.post("/first", b"{}", HEADERS))
        await other.arrived.wait()
        second = asyncio.create_task(exchange.post("/second", b"{}", HEADERS, may_send=may_send))
        await asyncio.sleep(0)
        other.answer = writes(OK)
        await cancel_and_wait(first)

        assert (await second).status == 200
    assert other_was_sent == [True]
