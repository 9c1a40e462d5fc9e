"""Exchanges with odd clocks: every change is applied by its first request, unless its reply is certainly another's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from arq.connections import ArqRedis

from producers import Outcome
from tests.support.changes import numbered
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.exchange import clock
from worker.exchange.endpoint import TIME_PATH

pytestmark = ARQ_CLOSES_OLD_STYLE

MINUTES_MS = 600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def exchange(stamp: Callable[[bool], object]) -> AsyncIterator[str]:
    """Run an exchange that applies everything.

    Args:
        stamp: returns the `requestTime` of a reply, None for none; its argument says whether the time was asked for.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        is_time = request.path == TIME_PATH
        data = {"serverTime": f"{now_ms()}"} if is_time else "success"
        reply, found = {"code": "00000", "msg": "success", "data": data}, stamp(is_time)
        return web.Response(body=msgspec.json.encode(reply if found is None else {**reply, "requestTime": found}))

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param(lambda _: now_ms(), id="right"),
        pytest.param(lambda _: now_ms() - MINUTES_MS, id="minutes behind"),
        pytest.param(lambda _: now_ms() + MINUTES_MS, id="minutes ahead"),
        pytest.param(lambda _: str(now_ms()), id="text"),
        pytest.param(lambda _: now_ms() // 1000 * 1000, id="whole seconds"),
        pytest.param(lambda _: None, id="absent"),
        pytest.param(lambda _: 1_627_354_109_502, id="the documentation's example"),
        pytest.param(lambda is_time: now_ms() if is_time else None, id="only for the time"),
        pytest.param(lambda is_time: None if is_time else now_ms() - MINUTES_MS, id="not for the time"),
    ],
)
async def test_a_consistent_clock_needs_one_request_for_a_change(
    valkey: ArqRedis, tmp_path: Path, stamp: Callable[[bool], object]
) -> None:
    """Thirteen changes of one lane take more than the second by which a reply may be early."""
    async with exchange(stamp) as url, rig_on(valkey, tmp_path) as rig:
        results = await rig.outcome(numbered(13), exchange_url=url)

    assert [(result.outcome, len(result.attempts)) for result in results] == [(Outcome.APPLIED, 1)] * 13


async def test_a_clock_that_is_set_back_is_believed_after_some_seconds(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By 20 s, so that requests are still accepted. Here half a second is enough."""
    monkeypatch.setattr(clock, "MAX_STALE_S", 0.5)
    replies = 0

    def stamp(_is_time: bool) -> int:
        nonlocal replies
        replies += 1
        return now_ms() - (20_000 if replies > 5 else 0)

    async with exchange(stamp) as url, rig_on(valkey, tmp_path) as rig:
        results = await rig.outcome(numbered(6), exchange_url=url)

    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert [len(result.attempts) > 1 for result in results] == [n == 4 for n in range(6)]
