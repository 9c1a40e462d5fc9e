"""A fresh worker's first burst: how soon it reaches the exchange."""

from __future__ import annotations

import time

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, change, environment
from ops.bench.measurement import NS_PER_MS, Measurement, at_most, percentile

USERS = 20
WORKERS = 7


async def warm() -> list[Measurement]:
    """Measure the first burst of 20 users of 7 fresh workers, without rate limits."""
    users = [f"u{number}" for number in range(USERS)]
    spreads_ms, until_last_ms = [], []
    for _ in range(WORKERS):
        async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
            called_ns = time.monotonic_ns()
            await env.producer.enqueue_many([change(user) for user in users])
            await env.wait_until_finished(USERS)
            arrived_ns = [arrival["at_ns"] for arrival in await env.stack.arrivals()]
        spreads_ms.append((max(arrived_ns) - min(arrived_ns)) / NS_PER_MS)
        until_last_ms.append((max(arrived_ns) - called_ns) / NS_PER_MS)
    spread_ms, last_ms = percentile(spreads_ms, 50), percentile(until_last_ms, 50)
    return [
        at_most("fresh worker: first of 20 users at the exchange to last, median", spread_ms, "ms", 10),
        Measurement("fresh worker: first of 20 users at the exchange to last, worst of 7", max(spreads_ms), "ms"),
        Measurement("fresh worker: enqueue of 20 users to the last at the exchange, median", last_ms, "ms"),
    ]
