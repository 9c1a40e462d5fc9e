"""The server of a worker's metrics and health, whose port may be taken."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from tests.support.manual_clock import ManualClock
from worker.metrics import WorkerMetrics
from worker.process.http import serve


class HeldClock(ManualClock):
    """A clock whose sleep ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping = asyncio.Event()
        self.may_wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for the test."""
        self.sleeping.set()
        await self.may_wake.wait()
        self.advance(seconds)


async def test_a_port_that_is_taken_is_served_when_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    """The worker that is replaced may still have it. The attempts in between are logged once."""
    caplog.set_level("INFO", "worker.process.http")
    clock, ready, broken = HeldClock(), {"redis": "Redis did not answer"}, dict[str, str]()
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with (
        asyncio.timeout(30),
        serve(
            "127.0.0.1",
            port,
            metrics=WorkerMetrics(),
            unready_reasons=lambda: ready,
            degraded=lambda: broken,
            clock=clock,
        ),
        aiohttp.ClientSession() as http,
    ):
        await clock.sleeping.wait()
        clock.sleeping.clear()
        clock.may_wake.set()
        await clock.sleeping.wait()
        other.close()
        while "serving" not in caplog.messages[-1]:  # noqa: ASYNC110 - what is logged is what is awaited
            await asyncio.sleep(0)
        async with http.get(f"{url}/readyz") as unready, http.get(f"{url}/livez") as alive:
            replies = (unready.status, await unready.text(), alive.status)
        ready.clear()
        broken["shard 2"] = "Redis is full"
        async with http.get(f"{url}/readyz") as now_ready:
            status, content = now_ready.status, await now_ready.text()

    assert replies == (503, '{"ready":false,"reasons":{"redis":"Redis did not answer"}}', 200)
    assert (status, content) == (200, '{"ready":true,"reasons":{},"degraded":{"shard 2":"Redis is full"}}')
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "metrics and health are not served",
        f"serving metrics and health on {url}",
    ]
