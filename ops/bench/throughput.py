"""Throughput: changes a second through one worker, beside a bare HTTP client; and of enqueue_many."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec

from ops.bench.environment import (
    DOUBLE_NO_RATE_LIMITS,
    NO_RATE_LIMITS,
    POLL_INTERVAL_S,
    Environment,
    change,
    environment,
)
from ops.bench.measurement import Measurement, at_least
from ops.children import child_group

USERS = 10_000
RUNS = 3
MIN_SHARE_PERCENT = 60
ENQUEUED_CHANGES = 100_000


async def worker_throughput() -> list[Measurement]:
    """Measure one worker process with one change of each of 10,000 users, without rate limits; three runs."""
    users = [f"u{number}" for number in range(USERS)]
    async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        runs = [
            (await asyncio.to_thread(_baseline_rate, env.stack.exchange_url), await drain(env)) for _ in range(RUNS)
        ]
    return measurements(runs)


def measurements(runs: Sequence[tuple[float, float]]) -> list[Measurement]:
    """Return the medians of runs, each with the rates of the bare loop and of the worker; the shares are of one run."""
    baselines, rates = zip(*runs, strict=True)
    share_percent = 100 * statistics.median(rate / baseline for baseline, rate in runs)
    name = f"median of {len(runs)} runs"
    return [
        Measurement(f"bare aiohttp loop, same double, {name}", statistics.median(baselines), "requests/s"),
        Measurement(f"10,000 users with one change each, one worker, {name}", statistics.median(rates), "changes/s"),
        at_least(f"share of the bare loop in the same run, {name}", share_percent, "%", MIN_SHARE_PERCENT),
    ]


async def drain(env: Environment, poll_interval_s: float = POLL_INTERVAL_S, *, users: int = USERS) -> float:
    """Enqueue one change of each of the users, wait until all have ended, and return the changes a second."""
    finished = await env.count_finished()
    changes = [change(f"u{number}") for number in range(users)]
    started_s = time.perf_counter()
    report = await env.producer.enqueue_many(changes)
    await env.wait_until_finished(finished + len(report.jobs), poll_interval_s)
    return users / (time.perf_counter() - started_s)


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
