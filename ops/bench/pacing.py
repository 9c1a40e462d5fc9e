"""How exact: one user's backlog at the limit, and a neighbour beside it."""

from __future__ import annotations

import asyncio
import time

from ops.bench.figures import NS_PER_S, Figure, at_least, at_most, peak_in_window, rate_per_s
from ops.bench.lab import Lab, change, lab, until_ended

BACKLOG = 300
LIMIT_PER_S = 10
PATIENCE_S = 120.0
WORKERS = 4


async def one_user(latency_ms: int, jitter_ms: int) -> list[Figure]:
    """One user with 300 queued changes, 4 worker processes."""
    latency = ("--latency-ms", str(latency_ms), "--jitter-ms", str(jitter_ms))
    async with lab(["a"], workers=WORKERS, double_options=latency) as bench:
        await bench.producer.enqueue_many([change("a", number + 1) for number in range(BACKLOG)])
        async with asyncio.timeout(PATIENCE_S):
            await until_ended(bench.redis, BACKLOG)
        at_ns = await _arrivals_ns(bench, "a")
        throttled = (await bench.stack.report())["throttled"]
    name = f"300 changes of one user, {latency_ms} + 0..{jitter_ms} ms"
    return [
        at_least(f"{name}: share of 10/s", 100 * rate_per_s(at_ns) / LIMIT_PER_S, "%", 98),
        at_most(f"{name}: most in any sliding second", peak_in_window(at_ns), "arrivals", LIMIT_PER_S),
        at_most(f"{name}: 429s", throttled, "replies", 0),
    ]


async def neighbour() -> list[Figure]:
    """300 changes of user A, then 1 of user B; ten times, each time another B."""
    others = [f"b{number}" for number in range(10)]
    waits_ms = []
    async with lab(["a", *others], workers=WORKERS) as bench:
        await bench.producer.enqueue_many([change("a", number + 1) for number in range(BACKLOG)])
        for other in others:
            asked_ns = time.monotonic_ns()
            job = await bench.producer.enqueue(change(other))
            await job.result(timeout=PATIENCE_S)
            (arrived_ns,) = await _arrivals_ns(bench, other)
            waits_ms.append((arrived_ns - asked_ns) * 1000 / NS_PER_S)
    return [at_most("300 changes of A, then one of B: B at the exchange, worst of 10", max(waits_ms), "ms", 100)]


async def _arrivals_ns(bench: Lab, user: str) -> list[int]:
    return [arrival["at_ns"] for arrival in await bench.stack.arrivals() if arrival["user"] == user]
