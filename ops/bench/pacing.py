"""Pacing: a user's backlog at the rate limit, and the latency of another user beside it."""

from __future__ import annotations

from ops.bench.environment import change, environment
from ops.bench.measurement import Measurement, at_least, at_most, peak_in_window, rate_per_s

BACKLOG = 300
LIMIT_PER_S = 10
WORKERS = 4


async def one_user(latency_ms: int, jitter_ms: int) -> list[Measurement]:
    """Measure the rate of one user with 300 queued changes, 4 worker processes."""
    latency = ("--latency-ms", str(latency_ms), "--jitter-ms", str(jitter_ms))
    async with environment(["a"], workers=WORKERS, double_options=latency) as env:
        await env.producer.enqueue_many([change("a", number + 1) for number in range(BACKLOG)])
        await env.wait_until_finished(BACKLOG)
        at_ns = await env.arrivals_ns("a")
        throttled = (await env.stack.report())["throttled"]
    name = f"300 changes of one user, {latency_ms} + 0..{jitter_ms} ms"
    return [
        at_least(f"{name}: share of 10/s", 100 * rate_per_s(at_ns) / LIMIT_PER_S, "%", 98),
        at_most(f"{name}: most in any sliding second", peak_in_window(at_ns), "arrivals", LIMIT_PER_S),
        at_most(f"{name}: 429s", throttled, "replies", 0),
    ]


async def neighbour() -> list[Measurement]:
    """Measure the latency of one change of user B beside 300 changes of A; ten times, each time another B."""
    others = [f"b{number}" for number in range(10)]
    async with environment(["a", *others], workers=WORKERS) as env:
        await env.producer.enqueue_many([change("a", number + 1) for number in range(BACKLOG)])
        latencies_ms = [await env.send_one(other) for other in others]
    return [at_most("300 changes of A, then one of B: B at the exchange, worst of 10", max(latencies_ms), "ms", 100)]
