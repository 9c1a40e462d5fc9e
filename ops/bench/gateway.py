"""The gateway: rows that are accepted, single changes, and event streams."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import aiohttp
import msgspec

from ops.bench.environment import change, environment
from ops.bench.http_client import calling
from ops.bench.measurement import Measurement, at_least, at_most, percentile

ROWS, RUNS = 20_000, 3
POSTS, CONNECTIONS = 6_000, 64
BATCHES, STREAMS_EACH, RESULTS_EACH = 100, 10, 20
"""A thousand streams of a hundred batches; the egress sends 100 requests a second in all."""

TRADER = "123123123"


async def gateway() -> list[Measurement]:
    """Measure one gateway process."""
    users = [f"u{number}" for number in range(RESULTS_EACH)]
    async with environment(users, workers=1) as env, calling(env.stack.redis_dsn) as http:
        rows_s = min([await _send_rows(http, f"rows{run}") for run in range(RUNS)])
        posts_per_s = await _post_changes(http)
        for run in range(RUNS):
            await env.producer.batch(f"rows{run}").cancel()
        for number in range(CONNECTIONS):
            await env.producer.cancel_user(f"p{number}")
        delays_ms = await _follow_batches(http, users)
    name = f"{BATCHES * STREAMS_EACH:,} event streams, 100 results a second: to the reader"
    return [
        at_most(f"gateway: {ROWS:,} NDJSON rows accepted, best of {RUNS}", rows_s, "s", 1),
        at_least("gateway: single POST /v1/changes", posts_per_s, "a second", 2_000),
        Measurement(f"{name}, median", percentile(delays_ms, 50), "ms"),
        at_most(f"{name}, the worst of {len(delays_ms):,}", max(delays_ms), "ms", 250),
    ]


async def _send_rows(http: aiohttp.ClientSession, batch_id: str) -> float:
    """Send the rows of a batch; return the seconds until it was accepted."""
    settings = msgspec.json.encode(change("u").settings).decode()
    body = b"".join(b'"r%d"\n' % number for number in range(ROWS))
    began_s = time.monotonic()
    async with http.post(
        "/v1/batches",
        params={"batchId": batch_id, "traderId": TRADER, "settings": settings},
        data=body,
        headers={"Content-Type": "application/x-ndjson"},
    ) as answer:
        report = await answer.json()
    assert report["accepted"] == ROWS, report  # noqa: S101 - else nothing was measured
    return time.monotonic() - began_s


async def _post_changes(http: aiohttp.ClientSession) -> float:
    """Send single changes through some connections; return how many were accepted in a second."""
    numbers = iter(range(POSTS))
    headers = {"Content-Type": "application/json"}

    async def post(user: str) -> None:
        body = msgspec.json.encode(change(user))
        for _ in numbers:
            async with http.post("/v1/changes", data=body, headers=headers) as answer:
                assert answer.status == 202, await answer.text()  # noqa: S101

    began_s = time.monotonic()
    await asyncio.gather(*(post(f"p{number}") for number in range(CONNECTIONS)))
    return POSTS / (time.monotonic() - began_s)


async def _follow_batches(http: aiohttp.ClientSession, users: list[str]) -> list[float]:
    """Open the streams of batches that are about to be sent; return how late each result came to each reader, ms."""
    ready = count()
    all_open = asyncio.Event()
    delays_ms: list[float] = []

    def note(line: bytes) -> None:
        delays_ms.append(time.time() * 1000 - msgspec.json.decode(line.removeprefix(b"data: "))["finishedAtMs"])

    async def follow(batch_id: str) -> None:
        async with http.get(f"/v1/batches/{batch_id}/events") as answer:
            if next(ready) == BATCHES * STREAMS_EACH - 1:
                all_open.set()
            async for line in answer.content:
                if line.startswith(b'data: {"jobId"'):
                    note(line)

    await _post(http, "/v1/pauses/pause", {"everything": True})
    settings = msgspec.to_builtins(change("u").settings)
    for number in range(BATCHES):
        content = {"batchId": f"b{number}", "traderId": TRADER, "settings": settings, "userIds": users}
        await _post(http, "/v1/batches", content)
    readers = [asyncio.create_task(follow(f"b{number}")) for number in range(BATCHES) for _ in range(STREAMS_EACH)]
    await all_open.wait()
    await _post(http, "/v1/pauses/resume", {"everything": True})
    await asyncio.gather(*readers)
    return delays_ms


async def _post(http: aiohttp.ClientSession, path: str, content: object) -> None:
    async with http.post(path, json=content) as answer:
        assert answer.status in (200, 202), await answer.text()  # noqa: S101
