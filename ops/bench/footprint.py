"""What Redis holds of a change: queued with settings of its own, and as a result."""

from __future__ import annotations

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement
from ops.keys import KEYS
from ops.stack import stop

USERS = 20_000
ROUND = 10_000
"""Changes that are queued for each figure."""


async def footprint() -> list[Measurement]:
    """Measure Redis's `used_memory` before and after 10,000 changes of as many users are queued, and have ended.

    The buckets of the users, which delete themselves a minute after the last request, are measured by MEMORY USAGE.
    """
    users = [f"u{number}" for number in range(USERS)]
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        before = await _used_bytes(env)
        await env.producer.enqueue_many(change(user) for user in users[:ROUND])
        queued = await _used_bytes(env)
        (worker,) = await env.stack.start_workers(1)
        await env.wait_until_finished(ROUND)
        await stop(worker)
        bucket = await _mean_bytes(env, [KEYS.bucket_of(user) for user in users[:ROUND]])
        result_keys = [key.decode() async for key in env.redis.scan_iter(KEYS.result + "*", count=1000)]
        result = await _mean_bytes(env, result_keys)
    return [
        Measurement(
            "a queued change with a setting of its own, of a user without others", (queued - before) / ROUND, "bytes"
        ),
        Measurement("its result, of one request", result, "bytes"),
        Measurement("the bucket of its user, for a minute", bucket, "bytes"),
    ]


async def _used_bytes(env: Environment) -> int:
    used: int = (await env.redis.info("memory"))["used_memory"]
    return used


async def _mean_bytes(env: Environment, names: list[str]) -> float:
    """Return the mean size of keys, with their share of the table of keys."""
    async with env.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.memory_usage(name)
        sizes = await pipe.execute()
    return sum(size or 0 for size in sizes) / len(names)
