"""The connections to a worker's metrics and health: few and short, whatever their peers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ops.redis_server import free_port
from tests.support.manual_clock import ManualClock
from worker.metrics import WorkerMetrics
from worker.process import http_connections
from worker.process.http import serve
from worker.process.http_connections import MAX_CONNECTIONS, MAX_LINE_BYTES

HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost:"
CALL = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(caplog: pytest.LogCaptureFixture) -> AsyncIterator[int]:
    """Serve meanwhile, on the port that is yielded."""
    caplog.set_level("INFO")
    port = free_port()
    answering = serve("127.0.0.1", port, metrics=WorkerMetrics(), unready_reasons=dict, clock=ManualClock())
    async with asyncio.timeout(30), answering:
        while not caplog.messages:  # noqa: ASYNC110 - what is logged is what is awaited
            await asyncio.sleep(0)
        caplog.clear()
        yield port


async def said(port: int, sent: bytes) -> Peer:
    """Connect and write."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def answered(peer: Peer) -> bytes:
    """Return all that comes until the connection is closed."""
    answer = b""
    with suppress(ConnectionError):
        answer = await peer[0].read(-1)
    peer[1].close()
    return answer


async def test_a_crowd_of_half_heads_keeps_no_probe_out_and_few_connections_open(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest ones are closed, which is logged once."""
    monkeypatch.setattr(http_connections, "CONNECTION_S", 3600.0)
    async with served(caplog) as port:
        crowd = [await said(port, HALF_A_HEAD) for _ in range(3 * MAX_CONNECTIONS)]
        answer = await answered(await said(port, CALL))
        closed = await asyncio.gather(*map(answered, crowd[: 2 * MAX_CONNECTIONS + 1]))
        still_open = [not reader.at_eof() for reader, _ in crowd[2 * MAX_CONNECTIONS + 1 :]]
        for _, writer in crowd:
            writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert closed == [b""] * (2 * MAX_CONNECTIONS + 1)
    assert all(still_open)
    assert len(caplog.messages) == 1
    assert "more than 32 connections" in caplog.messages[0]


@pytest.mark.parametrize(
    "sent",
    [b"", HALF_A_HEAD, b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"],
    ids=["nothing", "half a head", "a body that does not come"],
)
async def test_a_peer_that_lets_it_wait_is_cut_off(
    sent: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it did not send."""
    monkeypatch.setattr(http_connections, "CONNECTION_S", 0.05)
    async with served(caplog) as port:
        answer = await answered(await said(port, sent))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 405 ")
    assert caplog.messages == []


async def test_a_connection_serves_one_request(caplog: pytest.LogCaptureFixture) -> None:
    """It is closed then, and the peer is told so."""
    async with served(caplog) as port:
        answer = await answered(await said(port, CALL + CALL))

    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2 * MAX_LINE_BYTES + b"\r\n\r\n", 400),
        (b"GET /livez HTTP/9.x\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
async def test_a_malformed_request_is_refused_and_not_logged(
    sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever can reach the port could fill the log."""
    async with served(caplog) as port:
        answer = await answered(await said(port, sent))

    assert int(answer.split()[1]) == status
    assert caplog.messages == []


async def test_an_error_of_our_own_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is answered with 500."""

    def broken() -> dict[str, str]:
        raise ValueError("broken")

    caplog.set_level("INFO")
    port = free_port()
    async with (
        asyncio.timeout(30),
        serve("127.0.0.1", port, metrics=WorkerMetrics(), unready_reasons=broken, clock=ManualClock()),
    ):
        while not caplog.messages:  # noqa: ASYNC110 - what is logged is what is awaited
            await asyncio.sleep(0)
        answer = await answered(await said(port, CALL.replace(b"livez", b"readyz")))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
