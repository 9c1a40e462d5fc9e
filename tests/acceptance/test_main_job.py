"""The main job: one process enqueues, two workers drain over HTTP, a third process reads the results."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

from ops.stack import Stack
from tests.acceptance.conftest import WITHIN_S, Run

ENQUEUE = """
import asyncio, json, sys
from producers import CopySetting, Producer, SettingsChange

def changes():
    for number in range(1, 16):
        for user in ("1001", "1002"):
            yield change(user, "t1", number)
    for user in range(1003, 1041):
        for number in (1, 2):
            yield change(str(user), "t1", number)

def change(user, trader, number):
    setting = CopySetting(symbol="BTCUSDT", product_type="USDT-FUTURES", margin_type="trader", lever_type="trader",
                          trace_type="amount", trace_value=str(number))
    return SettingsChange(user_id=user, trader_id=trader, settings=[setting])

async def main():
    async with Producer.connect(sys.argv[1]) as producer:
        report = await producer.enqueue_many(changes())
        assert not report.refused
        print(json.dumps([job.job_id for job in report.jobs]))

asyncio.run(main())
"""

READ = """
import asyncio, json, sys
from producers import Producer

async def main():
    async with Producer.connect(sys.argv[1]) as producer:
        jobs = [producer.job(job_id) for job_id in json.loads(sys.argv[2])]
        results = await asyncio.gather(*(job.result(timeout=60) for job in jobs))
        print(json.dumps([[result.job_id, result.outcome] for result in results]))

asyncio.run(main())
"""


async def test_changes_of_one_process_are_drained_by_two_and_their_results_read_by_a_fourth(
    stack: Stack, run: Run
) -> None:
    """All applied, each lane in order, no user above ten in any second, no 429."""
    await do_the_main_job(stack, run)


async def do_the_main_job(stack: Stack, run: Run) -> None:
    """Do it, on the Redis of a stack, and assert how it ended."""
    async with asyncio.timeout(WITHIN_S):
        job_ids = json.loads(await run(ENQUEUE, stack.redis_dsn))
        await stack.start_workers(2)
        results = json.loads(await run(READ, stack.redis_dsn, json.dumps(job_ids)))
        report = await stack.report()
        arrivals = await stack.arrivals()

    assert len(job_ids) == 106
    assert results == [[job_id, "applied"] for job_id in job_ids]
    assert report["accepted"] >= 106
    assert report["throttled"] == 0
    assert max(user["peak_in_1s"] for user in report["users"].values()) <= 10
    lanes: dict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        if arrival["user"]:
            lanes[arrival["user"]].append(int(arrival["values"][0]))
    assert lanes.pop("1001") == lanes.pop("1002") == list(range(1, 16))
    assert set(map(tuple, lanes.values())) == {(1, 2)}
    assert len(lanes) == 38
