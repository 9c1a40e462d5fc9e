"""An idle worker: the latency of a single change, and the Redis commands that it costs."""

from __future__ import annotations

import asyncio

from ops.bench.environment import environment
from ops.bench.measurement import Measurement, at_most, percentile

CHANGES = 50
IDLE_S = 12.0


async def idle() -> list[Measurement]:
    """Measure an idle worker's Redis commands for 12 s, then the latency of 50 single changes."""
    users = [f"u{number}" for number in range(CHANGES)]
    async with environment(users, workers=1) as env:
        before = await env.redis.info("stats")
        await asyncio.sleep(IDLE_S)
        after = await env.redis.info("stats")
        commands = after["total_commands_processed"] - before["total_commands_processed"] - 1  # minus the first INFO
        latencies_ms = [await env.send_one(user) for user in users]
    return [
        at_most("idle worker: enqueue to exchange, median", percentile(latencies_ms, 50), "ms", 10),
        Measurement("idle worker: enqueue to exchange, p99", percentile(latencies_ms, 99), "ms"),
        at_most("idle worker: Redis commands, those inside scripts included", commands / IDLE_S, "a second", 5),
    ]
