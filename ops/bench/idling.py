"""How ready, and at what cost: an idle worker."""

from __future__ import annotations

import asyncio
import time

from ops.bench.figures import NS_PER_S, Figure, at_most, percentile
from ops.bench.lab import change, lab

CHANGES = 50
WATCHED_S = 12.0


async def idle() -> list[Figure]:
    """Single changes to an idle worker, and the Redis commands it costs when nothing is asked."""
    users = [f"u{number}" for number in range(CHANGES)]
    asked_ns = {}
    async with lab(users, workers=1) as bench:
        before = await bench.redis.info("stats")
        await asyncio.sleep(WATCHED_S)
        after = await bench.redis.info("stats")
        commands = after["total_commands_processed"] - before["total_commands_processed"] - 1  # the first INFO
        for user in users:
            asked_ns[user] = time.monotonic_ns()
            job = await bench.producer.enqueue(change(user))
            await job.result(timeout=10)
        arrivals = await bench.stack.arrivals()
    waits_ms = [
        (arrival["at_ns"] - asked_ns[arrival["user"]]) * 1000 / NS_PER_S
        for arrival in arrivals
        if arrival["user"] in asked_ns
    ]
    return [
        at_most("idle worker: enqueue to exchange, median", percentile(waits_ms, 50), "ms", 10),
        Figure("idle worker: enqueue to exchange, p99", percentile(waits_ms, 99), "ms"),
        at_most("idle worker: Redis commands, those inside scripts included", commands / WATCHED_S, "a second", 5),
    ]
