"""The load `scale`: this project with ten thousand, a hundred thousand and a million queued changes."""

from __future__ import annotations

import asyncio
import time

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import rate_per_s
from ops.bench.peers.contenders import OURS_PLAIN, Contender
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.report import HIGHER, LOWER, Figure
from ops.bench.peers.stage import LOOK_INTERVAL_S, IncompleteError

SIZES = (10_000, 100_000, 1_000_000)
ENQUEUED_AT_ONCE = 50_000
"""Bounds the handles that the producer holds."""

FIRST, LAST = 0.1, 0.9
"""Of the window's arrivals, those between are timed: in the middle of a drain."""

WINDOW = 10_000
SPARE = 5_000
"""Users with API keys beyond the window, whose changes may be sent before the worker is stopped."""

TIMEOUT_S = 180.0


async def scale(contender: Contender, jobs: int | None = None) -> Figures:  # noqa: ARG001 - there is only one
    """Measure each number of queued changes, on a server and with a worker of its own.

    Args:
        contender: this project.
        jobs: how many changes instead of the smallest number, alone.

    Raises:
        IncompleteError: too few were sent in time.
    """
    figures: Figures = {}
    for size in SIZES[:1] if jobs else SIZES:
        figures |= {f"{name}_{size}": value for name, value in (await _measure(jobs or size)).items()}
    return figures


async def _measure(count: int) -> Figures:
    """Enqueue changes, each of a user of its own, then start a worker, and measure a part of the drain."""
    window = min(WINDOW, count)
    users = [f"u{number}" for number in range(min(window + SPARE, count))]
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        before_bytes = (await env.redis.info("memory"))["used_memory"]
        enqueue_s = await _enqueue(env, count)
        queued_bytes = (await env.redis.info("memory"))["used_memory"] - before_bytes
        await env.stack.start_workers(1)
        arrivals_ns = await _arrivals_ns(env, window)
    timed = arrivals_ns[int(FIRST * window) : int(LAST * window)]
    return {
        "enqueue_per_s": count / enqueue_s,
        "bytes_per_job": queued_bytes / count,
        "drain_per_s": rate_per_s(timed),
    }


async def _enqueue(env: Environment, count: int) -> float:
    """Enqueue changes, and return the seconds that it took; making them does not count."""
    elapsed_s = 0.0
    for first in range(0, count, ENQUEUED_AT_ONCE):
        changes = [change(f"u{number}") for number in range(first, min(first + ENQUEUED_AT_ONCE, count))]
        started_s = time.perf_counter()
        report = await env.producer.enqueue_many(changes)
        elapsed_s += time.perf_counter() - started_s
        if report.refused:
            raise IncompleteError(f"{len(report.refused)} changes were refused: {report.refused[:1]}")
    return elapsed_s


async def _arrivals_ns(env: Environment, count: int) -> list[int]:
    """Return the times of arrival of users' requests once there are so many."""
    arrived = 0
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while arrived < count:
                await asyncio.sleep(LOOK_INTERVAL_S)
                arrived = (await env.stack.report())["arrivals"]
    except TimeoutError:
        raise IncompleteError(f"{arrived} of {count} arrived in {TIMEOUT_S:g} s") from None
    return sorted(arrival["at_ns"] for arrival in await env.stack.arrivals() if arrival["user"])


FIGURES = tuple(
    Figure(f"{name}_{size}", f"{size:,} queued: {title}", better)
    for size in SIZES
    for name, title, better in (
        ("enqueue_per_s", "enqueued a second", HIGHER),
        ("bytes_per_job", "Redis's memory for each, bytes", LOWER),
        ("drain_per_s", "jobs a second", HIGHER),
    )
)

SCALE = Plan(
    "scale",
    "Scale: this project with many queued changes",
    "Changes, each of a user of its own and with a setting of its own, are enqueued while no worker runs; "
    "then one worker process is started, and "
    f"the rate is of the arrivals {int(FIRST * WINDOW):,} to {int(LAST * WINDOW):,}.",
    FIGURES,
    (OURS_PLAIN,),
    scale,
)
