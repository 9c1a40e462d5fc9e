"""Idle workers: what they cost Redis, also with several shards, and the latency of a single change."""

from __future__ import annotations

import asyncio

from ops.bench.environment import Environment, environment
from ops.bench.measurement import Measurement, at_most, percentile
from ops.bench.redis_load import Load

CHANGES = 50
PAUSE_S = 0.05
IDLE_S = 12.0
WORKERS, SHARDS = 8, 4
US_PER_MS = 1000


async def idle() -> list[Measurement]:
    """Measure what an idle worker costs Redis in 12 s, then the latency of 50 changes; then 8 workers with shards."""
    users = [f"u{number}" for number in range(CHANGES)]
    async with environment(users, workers=1) as env:
        of_one = await _load(env)
        latencies_ms = [await _send_idle(env, user) for user in users]
    async with environment(users, workers=WORKERS, shards=SHARDS) as env:
        of_shards = await _load(env)
    cpu, of_many = "CPU time of Redis", f"{WORKERS} idle workers, {SHARDS} shards of one server"
    return [
        at_most("idle worker: enqueue to exchange, median", percentile(latencies_ms, 50), "ms", 10),
        Measurement("idle worker: enqueue to exchange, p99", percentile(latencies_ms, 99), "ms"),
        at_most("idle worker: Redis commands, those inside scripts included", of_one.commands / IDLE_S, "a second", 5),
        Measurement(f"idle worker: {cpu}", of_one.cpu_us / US_PER_MS / IDLE_S, "ms a second"),
        Measurement(f"{of_many}: {cpu}", of_shards.cpu_us / US_PER_MS / IDLE_S, "ms a second"),
    ]


async def _send_idle(env: Environment, user: str) -> float:
    """Return the latency of a change that does not wait for the slot of an egress which has just sent another."""
    await asyncio.sleep(PAUSE_S)
    return await env.send_one(user)


async def _load(env: Environment) -> Load:
    """Return what the server does while the worker has nothing to do."""
    before = Load.from_info(await env.redis.info("all"))
    await asyncio.sleep(IDLE_S)
    after = Load.from_info(await env.redis.info("all"))
    return Load(after.commands - before.commands, after.cpu_us - before.cpu_us)
