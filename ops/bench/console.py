"""The console: how long a page takes with a million queued changes, and what watching it costs Redis; and a scrape."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.http_client import calling
from ops.bench.measurement import Measurement, at_most, percentile
from ops.stack import stop
from producers.queue.fan_out import member_job_id

USERS, BATCHES, BATCH_SIZE = 20_000, 1_000, 1_000
"""A million changes: fifty in the lane of each user."""

FAILED_BATCH, QUEUED_BATCH = "failed", "b0"
LOADS = 20
WATCHED_S = 10.0
MAX_PAGE_MS = 150
MAX_CALLS_PER_S = 15
SCRAPES = 20
MAX_SCRAPE_MS = 20
SCRAPE_INTERVAL_S = 1.1
"""The gateway reads the queue once a second at most."""

Parameters = Mapping[str, str]

SCREENS: dict[str, tuple[str, Parameters]] = {
    "overview": ("/", {}),
    "workers": ("/workers", {}),
    "batches": ("/batches", {}),
    "a queued batch": ("/batch", {"id": QUEUED_BATCH}),
    "a batch of failures": ("/batch", {"id": FAILED_BATCH}),
    "a user": ("/user", {"id": "u1"}),
    "a change": ("/change", {"id": member_job_id(QUEUED_BATCH, "u1")}),
    "dead letters": ("/dead-letters", {}),
}
"""Pages with an event stream."""

SEARCH = ("/search", {"q": "u1"})


async def console() -> list[Measurement]:
    """Measure one gateway process and one tab: first without a worker, then watching, beside one while all is paused.

    So nothing is sent meanwhile, but the pages of a batch and of a change show why they wait, with a live worker.
    """
    async with environment(["nobody"], workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        await _fail(env)
        await _fill(env)
        async with calling(env.stack.redis_dsn) as http:
            pages = [await _load(http, name, *place) for name, place in {**SCREENS, "a search": SEARCH}.items()]
            await env.producer.pause(everything=True)
            counted = {client["addr"] for client in await env.redis.client_list()}  # of the gateway, not of a worker
            await env.stack.start_workers(1)
            watched = [await _watch(env, http, counted, name, *place) for name, place in SCREENS.items()]
            scrapes = await _scrape(http)
    return [*pages, *watched, *scrapes]


async def _fail(env: Environment) -> None:
    """End a change of each user without success: there are no API keys."""
    settings = change("u").settings
    users = [f"u{number}" for number in range(USERS)]
    await env.producer.fan_out(trader_id="failing", settings=settings, user_ids=users, batch_id=FAILED_BATCH)
    (worker,) = await env.stack.start_workers(1)
    await env.wait_until_finished(USERS, poll_interval_s=0.2)
    await stop(worker)


async def _fill(env: Environment) -> None:
    """Queue the changes of all batches."""
    settings = change("u").settings
    for number in range(BATCHES):
        first = number * BATCH_SIZE
        users = [f"u{each % USERS}" for each in range(first, first + BATCH_SIZE)]
        batch = await env.producer.fan_out(trader_id="1", settings=settings, user_ids=users, batch_id=f"b{number}")
        assert batch.report is not None and batch.report.accepted == BATCH_SIZE, batch.report  # noqa: S101, PT018


async def _load(http: aiohttp.ClientSession, name: str, path: str, parameters: Parameters) -> Measurement:
    """Return how long a page takes to its last byte, the worst of some loads and the first among them."""
    times_ms = []
    for _ in range(LOADS):
        began_s = time.monotonic()
        await _page(http, path, parameters)
        times_ms.append((time.monotonic() - began_s) * 1000)
    return at_most(f"console, 1,000,000 queued changes: {name}, worst of {LOADS}", max(times_ms), "ms", MAX_PAGE_MS)


async def _watch(
    env: Environment, http: aiohttp.ClientSession, counted: set[str], name: str, path: str, parameters: Parameters
) -> Measurement:
    """Return how many calls a second a tab costs Redis that shows a screen; the worker's own do not count."""
    found = re.search(r'hx-sse:connect="([^"]+)"', await _page(http, path, parameters))
    assert found is not None, name  # noqa: S101
    async with http.get(html.unescape(found[1])) as stream:
        await stream.content.readuntil(b"\n\n")
        calls = await _calls(env, counted)
    return at_most(f"console: one tab on {name}: calls of Redis", calls / WATCHED_S, "a second", MAX_CALLS_PER_S)


async def _scrape(http: aiohttp.ClientSession) -> list[Measurement]:
    """Return how long reading the metrics takes to the last byte, each time with a new reading of the queue."""
    times_ms = []
    for _ in range(SCRAPES):
        await asyncio.sleep(SCRAPE_INTERVAL_S)
        began_s = time.monotonic()
        text = await _page(http, "/metrics", {})
        times_ms.append((time.monotonic() - began_s) * 1000)
        assert "copytrade_queue_up 1.0" in text  # noqa: S101 - else nothing was measured
    name = "gateway, 1,000,000 queued changes: a scrape of /metrics"
    return [
        Measurement(f"{name}, median", percentile(times_ms, 50), "ms"),
        at_most(f"{name}, worst of {SCRAPES}", max(times_ms), "ms", MAX_SCRAPE_MS),
    ]


async def _page(http: aiohttp.ClientSession, path: str, parameters: Parameters) -> str:
    async with http.get(path, params=parameters) as answer:
        text = await answer.text()
        assert answer.status == 200, text  # noqa: S101
        return text


async def _calls(env: Environment, counted: set[str]) -> int:
    """Return how many commands some clients call in `WATCHED_S`; those inside scripts are none of theirs."""
    calls = 0
    async with env.redis.monitor() as monitor:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCHED_S):
                async for command in monitor.listen():
                    address = f"{command['client_address']}:{command['client_port']}"
                    calls += command["client_type"] != "lua" and address in counted
    return calls
