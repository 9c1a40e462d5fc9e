"""Scheduling: interactive beside bulk, many users beside one with a backlog, changes that share a request."""

from __future__ import annotations

import asyncio
import time

import msgspec

from ops.bench.environment import TIMEOUT_S, Environment, change, environment
from ops.bench.measurement import (
    NS_PER_MS,
    Measurement,
    at_least,
    at_most,
    jain_index,
    peak_in_window,
    percentile,
    rate_per_s,
)

BULK_LANES = 100_000
INTERACTIVE_CHANGES = 20
BACKLOG = 10_000
OTHERS = 1_000
OTHERS_PER_S = 500
EQUAL_USERS, CHANGES_EACH = 50, 30
SYMBOLS = 1_000

NO_EGRESS_LIMIT = {"COPYTRADE_EGRESS_RATE_PER_S": "1000000"}
DOUBLE_NO_EGRESS_LIMIT = ("--egress-per-min", "100000000")


async def priority() -> list[Measurement]:
    """Measure single interactive changes beside 100,000 bulk lanes, under an egress limit of 100 a second."""
    users = [f"i{number}" for number in range(INTERACTIVE_CHANGES)]
    async with environment(users, workers=2) as env:
        template = change("template")
        batch = await env.producer.fan_out(
            trader_id=template.trader_id,
            settings=template.settings,
            user_ids=(f"b{number}" for number in range(BULK_LANES)),
            batch_id="bulk",
        )
        latencies_ms = [await env.send_one(user) for user in users]
        queued = (await batch.progress()).queued
    name = "interactive beside 100,000 bulk lanes at 100/s: to the exchange, worst of 20"
    return [
        at_most(name, max(latencies_ms), "ms", 200),
        at_least("bulk changes still waiting then", queued, "changes", BULK_LANES / 2),
    ]


async def fairness() -> list[Measurement]:
    """Measure 1,000 users with one change each beside one with 10,000; then 50 equal users with 30 each."""
    equals, others = [f"e{number}" for number in range(EQUAL_USERS)], [f"o{number}" for number in range(OTHERS)]
    users = ["hog", *equals, *others]
    async with environment(users, workers=2, double_options=DOUBLE_NO_EGRESS_LIMIT, environ=NO_EGRESS_LIMIT) as env:
        await env.producer.enqueue_many(change("hog", number + 1) for number in range(BACKLOG))
        called_ns = await _enqueue_paced(env, others)
        arrived_ns = await _wait_for_arrivals(env, dict.fromkeys(others, 1))
        await env.producer.enqueue_many(change(user, number + 1) for number in range(CHANGES_EACH) for user in equals)
        equals_ns = await _wait_for_arrivals(env, dict.fromkeys(equals, CHANGES_EACH))
    latencies_ms = [(arrived_ns[user][0] - called_ns[user]) / NS_PER_MS for user in others]
    index = jain_index([rate_per_s(equals_ns[user]) for user in equals])
    name = "beside 10,000 changes of one user"
    return [
        at_most(f"{name}: 1,000 others, enqueue to exchange, p99", percentile(latencies_ms, 99), "ms", 100),
        Measurement(f"{name}: the same, median", percentile(latencies_ms, 50), "ms"),
        at_least(f"{name}: Jain index of 50 equal users", index, "", 0.999),
    ]


async def _enqueue_paced(env: Environment, users: list[str]) -> dict[str, int]:
    """Enqueue one change of each user, 500 a second. Return the time of each call."""
    called_ns = {}
    started_s = time.monotonic()
    for number, user in enumerate(users):
        await asyncio.sleep(max(0.0, started_s + number / OTHERS_PER_S - time.monotonic()))
        called_ns[user] = time.monotonic_ns()
        await env.producer.enqueue(change(user))
    return called_ns


async def _wait_for_arrivals(env: Environment, expected: dict[str, int]) -> dict[str, list[int]]:
    """Return the arrival times of some users, once each has the expected number."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            at_ns: dict[str, list[int]] = {user: [] for user in expected}
            for arrival in await env.stack.arrivals():
                if arrival["user"] in at_ns:
                    at_ns[arrival["user"]].append(arrival["at_ns"])
            if all(len(at_ns[user]) >= count for user, count in expected.items()):
                return at_ns
            await asyncio.sleep(0.2)


async def coalesce() -> list[Measurement]:
    """Measure 1,000 coalescing changes of one symbol each, of one user and trader."""
    template = change("u")
    (setting,) = template.settings
    changes = [
        msgspec.structs.replace(template, settings=[msgspec.structs.replace(setting, symbol=f"S{number}USDT")])
        for number in range(SYMBOLS)
    ]
    async with environment(["u"], workers=2) as env:
        started_s = time.perf_counter()
        report = await env.producer.enqueue_many(changes, coalesce=True)
        for job in report.jobs:
            await job.result(timeout=TIMEOUT_S)
        elapsed_s = time.perf_counter() - started_s
        at_ns = await env.arrivals_ns("u")
        throttled = (await env.stack.report())["throttled"]
    return [
        at_most("1,000 coalescing changes of one lane, enqueue to the last result", elapsed_s, "s", 11),
        Measurement("the same: requests", len(at_ns), "requests"),
        at_most("the same: most in any sliding second", peak_in_window(at_ns), "arrivals", 10),
        at_most("the same: 429s", throttled, "replies", 0),
    ]
