"""Who waits for whom: interactive beside bulk, many users beside one with a backlog, changes that share a request."""

from __future__ import annotations

import asyncio
import time

import msgspec

from ops.bench.figures import NS_PER_S, Figure, at_least, at_most, jain_index, peak_in_window, percentile, rate_per_s
from ops.bench.lab import Lab, change, lab
from producers import CopySetting, SettingsChange

BULK_LANES = 100_000
ASKED = 20
EGRESS_PER_S = 100
BACKLOG = 10_000
OTHERS = 1_000
OTHERS_PER_S = 500
EQUALS, EACH = 50, 30
SYMBOLS = 1_000
PATIENCE_S = 120.0

NO_EGRESS_LIMIT = {"COPYTRADE_EGRESS_RATE_PER_S": "1000000"}
DOUBLE_WITHOUT_EGRESS_LIMIT = ("--egress-per-min", "100000000")


async def priority() -> list[Figure]:
    """100,000 bulk lanes under an egress limit of 100 a second; then single interactive changes of other users."""
    asked = [f"i{number}" for number in range(ASKED)]
    waits_ms = []
    async with lab(asked, workers=2) as bench:
        template = change("template")
        users = (f"b{number}" for number in range(BULK_LANES))
        batch = await bench.producer.fan_out(
            trader_id=template.trader_id, settings=template.settings, user_ids=users, batch_id="bulk"
        )
        for user in asked:
            asked_ns = time.monotonic_ns()
            job = await bench.producer.enqueue(change(user))
            await job.result(timeout=PATIENCE_S)
            (arrived_ns,) = await _arrivals_ns(bench, user)
            waits_ms.append((arrived_ns - asked_ns) * 1000 / NS_PER_S)
        left = (await batch.progress()).queued
    return [
        at_most(
            "interactive beside 100,000 bulk lanes at 100/s: to the exchange, worst of 20", max(waits_ms), "ms", 200
        ),
        at_least("bulk changes still waiting then", left, "changes", BULK_LANES / 2),
    ]


async def fairness() -> list[Figure]:
    """One user with 10,000 changes; beside it 1,000 users with one each, and then 50 equal users with 30 each."""
    equals, others = [f"e{number}" for number in range(EQUALS)], [f"o{number}" for number in range(OTHERS)]
    users = ["hog", *equals, *others]
    async with lab(users, workers=2, double_options=DOUBLE_WITHOUT_EGRESS_LIMIT, environ=NO_EGRESS_LIMIT) as bench:
        await bench.producer.enqueue_many(change("hog", number + 1) for number in range(BACKLOG))
        asked_ns = await _ask_one_by_one(bench, others)
        arrived_ns = await _when_all_arrived(bench, dict.fromkeys(others, 1))
        await bench.producer.enqueue_many(change(user, number + 1) for number in range(EACH) for user in equals)
        equal_ns = await _when_all_arrived(bench, dict.fromkeys(equals, EACH))
    waits_ms = [(arrived_ns[user][0] - asked_ns[user]) * 1000 / NS_PER_S for user in others]
    index = jain_index([rate_per_s(equal_ns[user]) for user in equals])
    name = "beside 10,000 changes of one user"
    return [
        at_most(f"{name}: 1,000 others, enqueue to exchange, p99", percentile(waits_ms, 99), "ms", 100),
        Figure(f"{name}: the same, median", percentile(waits_ms, 50), "ms"),
        at_least(f"{name}: Jain index of 50 equal users", index, "", 0.999),
    ]


async def _ask_one_by_one(bench: Lab, users: list[str]) -> dict[str, int]:
    """Enqueues a change of each user, 500 a second; when each was asked for."""
    asked_ns = {}
    begun_s = time.monotonic()
    for number, user in enumerate(users):
        await asyncio.sleep(max(0.0, begun_s + number / OTHERS_PER_S - time.monotonic()))
        asked_ns[user] = time.monotonic_ns()
        await bench.producer.enqueue(change(user))
    return asked_ns


async def coalesce() -> list[Figure]:
    """1,000 changes of one symbol each, one user and trader, that may share requests."""
    template = change("u").settings[0]
    changes = [_of_symbol(template, f"S{number}USDT") for number in range(SYMBOLS)]
    async with lab(["u"], workers=2) as bench:
        started_s = time.perf_counter()
        report = await bench.producer.enqueue_many(changes, coalesce=True)
        for job in report.jobs:
            await job.result(timeout=PATIENCE_S)
        elapsed_s = time.perf_counter() - started_s
        at_ns = await _arrivals_ns(bench, "u")
        throttled = (await bench.stack.report())["throttled"]
    return [
        at_most("1,000 coalescing changes of one lane, enqueue to the last result", elapsed_s, "s", 11),
        Figure("the same: requests", len(at_ns), "requests"),
        at_most("the same: most in any sliding second", peak_in_window(at_ns), "arrivals", 10),
        at_most("the same: 429s", throttled, "replies", 0),
    ]


def _of_symbol(template: CopySetting, symbol: str) -> SettingsChange:
    setting = msgspec.structs.replace(template, symbol=symbol)
    return SettingsChange(user_id="u", trader_id="123123123", settings=[setting])


async def _arrivals_ns(bench: Lab, user: str) -> list[int]:
    return [arrival["at_ns"] for arrival in await bench.stack.arrivals() if arrival["user"] == user]


async def _when_all_arrived(bench: Lab, expected: dict[str, int]) -> dict[str, list[int]]:
    """When the requests of some users arrived, once so many of each have."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            at_ns: dict[str, list[int]] = {user: [] for user in expected}
            for arrival in await bench.stack.arrivals():
                if arrival["user"] in at_ns:
                    at_ns[arrival["user"]].append(arrival["at_ns"])
            if all(len(at_ns[user]) >= count for user, count in expected.items()):
                return at_ns
            await asyncio.sleep(0.2)
