"""Batches: the time and memory of a fan-out of one and of ten settings; reading its progress and results."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, environment
from ops.bench.measurement import Measurement, at_least, at_most, percentile
from ops.children import child_group
from producers import Batch

USERS = 100_000
PROGRESS_CALLS = 200
FIRST_USER = 10_000_000_000
MAX_SETTINGS = 10
MAX_STORED_BYTES = 550
MIN_RATE_PER_S = 80_000
DRAIN_TIMEOUT_S = 180.0


async def fan_out() -> list[Measurement]:
    """Measure a fan-out to 100,000 followers, its progress before anything is sent, and its results."""
    users = [str(FIRST_USER + number) for number in range(USERS)]
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        fan_out_result, bytes_each = await _fan_out(env, settings=1)
        batch = env.producer.batch("bench")
        latencies_ms = await _measure_progress(batch)
        await env.stack.start_workers(2)
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await batch.wait()
        rate = await _read_all(batch)
    return [
        at_most("fan-out of 100,000 followers: enqueued", fan_out_result["seconds"], "s", 3),
        at_most("the same: peak memory of the producer's process", fan_out_result["peak_mb"], "MB", 200),
        at_most("the same: memory of Redis for each queued change", bytes_each, "bytes", MAX_STORED_BYTES),
        at_most("progress() of 100,000 queued changes, p99 of 200", percentile(latencies_ms, 99), "ms", 5),
        at_least("streaming 100,000 results", rate, "results/s", 20_000),
    ]


async def stored() -> list[Measurement]:
    """Measure what a queued change of a fan-out to 100,000 users occupies, with one and with ten settings; no workers.

    It is the difference of Redis's `used_memory` divided by the changes, the batch and its members included.
    """
    measurements = []
    for settings in (1, MAX_SETTINGS):
        async with environment(["u0"], workers=0) as env:
            fan_out_result, bytes_each = await _fan_out(env, settings)
        name = f"100,000 queued changes of {settings} setting{'s' if settings > 1 else ''}"
        rate = USERS / fan_out_result["seconds"]
        enqueued = f"{name}: enqueued by fan_out"
        measurements += [
            at_most(f"{name}: memory of Redis for each", bytes_each, "bytes", MAX_STORED_BYTES),
            at_least(enqueued, rate, "changes/s", MIN_RATE_PER_S)
            if settings == MAX_SETTINGS
            else Measurement(enqueued, rate, "changes/s"),
        ]
    return measurements


async def _fan_out(env: Environment, settings: int) -> tuple[dict[str, float], float]:
    """Fan out in a process of its own. Return what it measured, and the bytes of Redis for each change."""
    before = await _used_bytes(env)
    command = [
        sys.executable,
        "-m",
        "ops.bench.fan_out_process",
        env.stack.redis_dsn,
        "bench",
        str(USERS),
        str(settings),
    ]
    printed = await asyncio.to_thread(subprocess.check_output, command, process_group=child_group())
    measured: dict[str, float] = json.loads(printed)
    return measured, (await _used_bytes(env) - before) / USERS


async def _measure_progress(batch: Batch) -> list[float]:
    latencies_ms = []
    for _ in range(PROGRESS_CALLS):
        started_s = time.perf_counter()
        await batch.progress()
        latencies_ms.append((time.perf_counter() - started_s) * 1000)
    return latencies_ms


async def _read_all(batch: Batch) -> float:
    """Return the results a second when the whole stream is read."""
    started_s = time.perf_counter()
    seen = {result.job_id async for result in batch.results()}
    if len(seen) != USERS:
        raise RuntimeError(f"{len(seen)} results of {USERS}")
    return USERS / (time.perf_counter() - started_s)


async def _used_bytes(env: Environment) -> int:
    used: int = (await env.redis.info("memory"))["used_memory"]
    return used
