"""Throughput: changes a second through one worker, beside a bare HTTP client; and of enqueue_many."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import msgspec

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement, at_least
from ops.children import child_group

USERS = 10_000
ENQUEUED_CHANGES = 100_000


async def worker_throughput() -> list[Measurement]:
    """Measure one worker process with one change of each of 10,000 users, without rate limits."""
    users = [f"u{number}" for number in range(USERS)]
    async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        baseline = await asyncio.to_thread(_baseline_rate, env.stack.exchange_url)
        changes = [change(user) for user in users]
        started_s = time.perf_counter()
        report = await env.producer.enqueue_many(changes)
        await env.wait_until_finished(len(report.jobs))
        rate = USERS / (time.perf_counter() - started_s)
    target = min(2000.0, baseline / 2)
    return [
        Measurement("bare aiohttp loop, same double, same run", baseline, "requests/s"),
        Measurement("share of the bare loop", 100 * rate / baseline, "%"),
        at_least("10,000 users with one change each, one worker", rate, "changes/s", target),
    ]


def _baseline_rate(url: str) -> float:
    """Return the requests a second of a loop that only posts, in a process of its own like the worker."""
    command = [sys.executable, "-m", "ops.bench.http_baseline", url, str(USERS)]
    return float(subprocess.check_output(command, process_group=child_group()))  # noqa: S603 - our own module


async def enqueue_rate() -> list[Measurement]:
    """Measure `enqueue_many` with 100,000 changes, each of another user, without workers."""
    async with environment(["u0"], workers=0) as env:
        rate = max([await _enqueue_once(env) for _ in range(3)])
    return [at_least("enqueue_many, best of 3", rate, "changes/s", 40_000)]


async def _enqueue_once(env: Environment) -> float:
    await env.redis.flushall()
    template = change("u0")
    changes = (msgspec.structs.replace(template, user_id=f"u{number}") for number in range(ENQUEUED_CHANGES))
    started_s = time.perf_counter()
    report = await env.producer.enqueue_many(changes)
    elapsed_s = time.perf_counter() - started_s
    if len(report.jobs) != ENQUEUED_CHANGES:
        raise RuntimeError(f"{len(report.refused)} of {ENQUEUED_CHANGES} changes were refused: {report.refused[:1]}")
    return ENQUEUED_CHANGES / elapsed_s
