"""Depth: whether a worker is as fast with a million queued changes as with ten thousand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement, at_least
from ops.stack import stop

WARM_UP = 2_000
"""Changes that end before the clock starts: while the worker opens connections and reads credentials."""

WINDOW = 10_000
"""Changes that end while one rate is measured, some seconds."""

WINDOWS = 3
SHALLOW = WARM_UP + WINDOW + WINDOW // 2
"""Queued before the worker starts, so that 10,000 are in the middle of the window."""

DEEP = 1_000_000
ENQUEUED_AT_ONCE = 50_000
"""Bounds the handles that this process holds."""

MIN_SHARE_PERCENT = 75


async def depth() -> list[Measurement]:
    """Measure one worker process, without rate limits, with few queued changes before and after it has had many.

    Each change has a user of its own. They are claimed in the order of their enqueueing, so that only those in front
    need credentials.
    """
    users = [f"u{number}" for number in range(WARM_UP + (WINDOWS + 1) * WINDOW)]
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        shallow = await _rates(env, SHALLOW, windows=1) + await _rates(env, SHALLOW, windows=1)
        deep = await _rates(env, DEEP, windows=WINDOWS)
        await env.redis.flushall()
        # Another load of the machine, if it grows or shrinks steadily, has the same effect on both medians.
        shallow += await _rates(env, SHALLOW, windows=1) + await _rates(env, SHALLOW, windows=1)
    return measurements(shallow, deep)


def measurements(shallow: Sequence[float], deep: Sequence[float]) -> list[Measurement]:
    """Return the medians of the rates, and their ratio."""
    few, many = statistics.median(shallow), statistics.median(deep)
    return [
        Measurement(f"one worker, 10,000 queued changes, median of {len(shallow)}", few, "changes/s"),
        Measurement(f"one worker, 1,000,000 queued changes, median of {len(deep)}", many, "changes/s"),
        at_least("rate with 1,000,000 queued changes, of that with 10,000", 100 * many / few, "%", MIN_SHARE_PERCENT),
    ]


async def _rates(env: Environment, queued: int, windows: int) -> list[float]:
    """Enqueue changes, start a worker, and return the changes a second of successive windows; then stop it."""
    finished = await env.count_finished()
    for first in range(0, queued, ENQUEUED_AT_ONCE):
        numbers = range(first, min(first + ENQUEUED_AT_ONCE, queued))
        report = await env.producer.enqueue_many(change(f"u{number}") for number in numbers)
        if report.refused:
            raise RuntimeError(f"{len(report.refused)} changes were refused: {report.refused[:1]}")
    (worker,) = await env.stack.start_workers(1)
    finished += WARM_UP
    await env.wait_until_finished(finished)
    rates = []
    for _ in range(windows):
        started_s = time.perf_counter()
        finished += WINDOW
        await env.wait_until_finished(finished)
        rates.append(WINDOW / (time.perf_counter() - started_s))
    if queued == SHALLOW:
        await env.wait_until_finished(finished - WARM_UP - WINDOW + queued)
    await stop(worker)
    if counts := {outcome: count for outcome, count in (await env.producer.dead.counts()).items() if count}:
        raise RuntimeError(f"changes ended without success, so that the rates are not comparable: {counts}")
    return rates
