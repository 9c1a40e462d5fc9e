"""How fast: changes a second end to end through one worker, beside a bare aiohttp loop; and enqueueing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import msgspec

from ops.bench.figures import Figure, at_least
from ops.bench.lab import DOUBLE_OUT_OF_THE_WAY, OUT_OF_THE_WAY, Lab, change, lab, until_ended

USERS = 10_000
ENQUEUED = 100_000
PATIENCE_S = 120.0


async def through_one_worker() -> list[Figure]:
    """10,000 users with one change each, limits out of the way, one worker process."""
    users = [f"u{number}" for number in range(USERS)]
    async with lab(users, workers=1, double_options=DOUBLE_OUT_OF_THE_WAY, environ=OUT_OF_THE_WAY) as bench:
        bare = await asyncio.to_thread(_bare_loop, bench.stack.exchange_url)
        changes = [change(user) for user in users]
        started_s = time.perf_counter()
        report = await bench.producer.enqueue_many(changes)
        async with asyncio.timeout(PATIENCE_S):
            await until_ended(bench.redis, len(report.jobs))
        rate = USERS / (time.perf_counter() - started_s)
    least = min(2000.0, bare / 2)
    return [
        Figure("bare aiohttp loop, same double, same run", bare, "requests/s"),
        Figure("share of the bare loop", 100 * rate / bare, "%"),
        at_least("10,000 users with one change each, one worker", rate, "changes/s", least),
    ]


def _bare_loop(url: str) -> float:
    """Requests a second of a loop that only posts, in a process of its own as the worker is."""
    command = [sys.executable, "-m", "ops.bench.bare_loop", url, str(USERS)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))  # noqa: S603


async def enqueueing() -> list[Figure]:
    """`enqueue_many` of 100,000 changes of as many users, workers idle elsewhere."""
    async with lab(["u0"], workers=0) as bench:
        rate = max([await _enqueue_once(bench) for _ in range(3)])
    return [at_least("enqueue_many, best of 3", rate, "changes/s", 40_000)]


async def _enqueue_once(bench: Lab) -> float:
    await bench.redis.flushall()
    template = change("u0")
    changes = (msgspec.structs.replace(template, user_id=f"u{number}") for number in range(ENQUEUED))
    started_s = time.perf_counter()
    report = await bench.producer.enqueue_many(changes)
    elapsed_s = time.perf_counter() - started_s
    if len(report.jobs) != ENQUEUED:
        raise RuntimeError(f"{len(report.refused)} of {ENQUEUED} changes were refused: {report.refused[:1]}")
    return ENQUEUED / elapsed_s
