"""Deleting all that is kept of a user among a million results, which are all read for it."""

from __future__ import annotations

import time

from ops.bench.environment import Environment, environment
from ops.bench.measurement import Measurement
from ops.keys import KEYS
from producers import CopySetting, JobResult, Outcome
from producers.contract.codec import encode_result

RESULTS = 1_000_000
WRITTEN_AT_ONCE = 5_000
SETTING = CopySetting(
    symbol="BTCUSDT", product_type="USDT-FUTURES", margin_type="trader", lever_type="trader", trace_type="count"
)
SLOW_US = 500
"""From how many microseconds on a command is in the slow log."""


async def forget() -> list[Measurement]:
    """Measure `forget_user` for one of a million users with one result each, no worker running."""
    async with environment(["u0"], workers=0) as env:
        await _write_results(env)
        await env.redis.config_set("slowlog-log-slower-than", SLOW_US)
        await env.redis.slowlog_reset()
        started_s = time.perf_counter()
        report = await env.producer.forget_user("77")
        seconds = time.perf_counter() - started_s
        longest_us = max((entry["duration"] for entry in await env.redis.slowlog_get(10_000)), default=0)
    if (report.complete, report.results) != (True, 1):
        raise RuntimeError(f"it did not delete one result: {report}")
    return [
        Measurement("forgetting a user among 1,000,000 results", seconds, "s"),
        Measurement("the same: the longest command of Redis", longest_us / 1000, "ms"),
    ]


async def _write_results(env: Environment) -> None:
    for first in range(0, RESULTS, WRITTEN_AT_ONCE):
        async with env.redis.pipeline(transaction=False) as pipe:
            for number in range(first, first + WRITTEN_AT_ONCE):
                job_id = f"{number:032x}"
                result = JobResult(
                    job_id=job_id, user_id=str(number), trader_id="t1", outcome=Outcome.APPLIED, settings=[SETTING]
                )
                pipe.set(KEYS.result + job_id, encode_result(result), ex=86_400)
            await pipe.execute()
