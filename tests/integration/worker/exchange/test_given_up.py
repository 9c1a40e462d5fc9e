"""A request under way whose session ends, with a client of its own and a server that does not complete its reply."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import ClientResponse

from tests.support.attempts import Bench
from tests.support.http_peer import Answer, is_silent, peer
from worker.exchange.client import ExchangeClient
from worker.queue.claims import Requeue

TIMEOUT_S = 0.5


async def half_a_reply(writer: asyncio.StreamWriter) -> None:
    """Answer with a head and a part of a body, and then no more."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")
    await writer.drain()
    await is_silent(writer)


@pytest.mark.parametrize(("answer", "has_head"), [(is_silent, False), (half_a_reply, True)], ids=["no head", "a part"])
async def test_a_request_is_settled_although_its_time_out_and_the_end_of_its_session_are_noticed_together(
    answer: Answer, has_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a stall of the process: both cancel the same wait, in one iteration of the event loop."""
    begun = asyncio.Event()
    start = ClientResponse.start

    async def start_and_tell(response: ClientResponse, connection: object) -> ClientResponse:
        if not has_head:
            begun.set()
        try:
            return await start(response, connection)  # type: ignore[arg-type]
        finally:
            begun.set()

    monkeypatch.setattr(ClientResponse, "start", start_and_tell)
    bench, loop = Bench(), asyncio.get_running_loop()

    def lose() -> None:
        bench.trusted.clear()
        for _ in range(2):  # by the watch and by the refused renewal
            bench.on_lost()

    async with peer(answer) as other, ExchangeClient(other.url, 1, total_timeout_s=TIMEOUT_S) as exchange:
        bench.attempt_runner._exchange = exchange
        attempt = asyncio.create_task(bench.apply(bench.claim()))
        async with asyncio.timeout(30):
            await begun.wait()
            await other.arrived.wait()
            loop.call_later(TIMEOUT_S, lose)
            time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - the stall
            settlement = await attempt

    assert isinstance(settlement, Requeue)
    assert settlement.request is not None
    assert settlement.request.attempt.verdict == "ambiguous"
