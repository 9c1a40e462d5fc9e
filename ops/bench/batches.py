"""Batches: how fast and how large a fan-out is, what it costs to ask where it is, and to read its results."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

from ops.bench.figures import Figure, at_least, at_most, percentile
from ops.bench.lab import DOUBLE_OUT_OF_THE_WAY, OUT_OF_THE_WAY, Lab, lab
from producers import Batch

USERS = 100_000
ASKED = 200
FIRST_USER = 10_000_000_000
SETTLED_WITHIN_S = 180.0


async def fan_out() -> list[Figure]:
    """A fan-out of 100,000 followers; then its progress while it is drained, and its results."""
    users = [str(FIRST_USER + number) for number in range(USERS)]
    async with lab(users, workers=0, double_options=DOUBLE_OUT_OF_THE_WAY, environ=OUT_OF_THE_WAY) as bench:
        before = await _used_bytes(bench)
        once = await asyncio.to_thread(_once, bench.stack.redis_dsn)
        bytes_each = (await _used_bytes(bench) - before) / USERS
        batch = bench.producer.batch("bench")
        asked_ms = await _ask(batch)
        await bench.stack.start_workers(2)
        async with asyncio.timeout(SETTLED_WITHIN_S):
            await batch.wait()
        rate = await _read_all(batch)
    return [
        at_most("fan-out of 100,000 followers: enqueued", once["seconds"], "s", 3),
        at_most("the same: peak memory of the producer's process", once["peak_mb"], "MB", 200),
        at_most("the same: memory of Redis for each queued change", bytes_each, "bytes", 800),
        at_most("progress() of 100,000 queued changes, p99 of 200", percentile(asked_ms, 99), "ms", 5),
        at_least("streaming 100,000 results", rate, "results/s", 20_000),
    ]


def _once(dsn: str) -> dict[str, float]:
    command = [sys.executable, "-m", "ops.bench.fan_out_once", dsn, "bench", str(USERS)]
    measured: dict[str, float] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    )
    return measured


async def _ask(batch: Batch) -> list[float]:
    asked_ms = []
    for _ in range(ASKED):
        started_s = time.perf_counter()
        await batch.progress()
        asked_ms.append((time.perf_counter() - started_s) * 1000)
    return asked_ms


async def _read_all(batch: Batch) -> float:
    """Results a second of a stream from the beginning to the end."""
    started_s = time.perf_counter()
    seen = {result.job_id async for result in batch.results()}
    if len(seen) != USERS:
        raise RuntimeError(f"{len(seen)} results of {USERS}")
    return USERS / (time.perf_counter() - started_s)


async def _used_bytes(bench: Lab) -> int:
    used: int = (await bench.redis.info("memory"))["used_memory"]
    return used
