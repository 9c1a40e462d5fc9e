"""A killed worker: its lanes come due when their leases lapse, and no change is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from arq.connections import ArqRedis

from ops.stack import Stack
from producers import Producer
from producers.contract import keyspace
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change

QUICK = {"COPYTRADE_LEASE_S": "4", "COPYTRADE_REQUEST_TIMEOUT_S": "1"}


async def test_lanes_of_a_killed_worker_are_drained_by_another(stack: Stack, valkey: ArqRedis) -> None:
    """Killed while requests are under way: every change ends once, in order, and the limit holds."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "latency", "ms": 400})
        (victim,) = await stack.start_workers(1, **QUICK)
        changes = [change(user, value=str(number)) for number in range(1, 4) for user in USERS]
        jobs = (await producer.enqueue_many(changes)).jobs
        await jobs[0].result()
        victim.kill()
        await victim.wait()
        await stack.set_faults()
        await stack.start_workers(1, **QUICK)

        results = await asyncio.gather(*(job.result() for job in jobs))
        arrivals = await stack.arrivals()
        report = await stack.report()
        counts = await valkey.hgetall(keyspace.COUNTS)  # type: ignore[misc]

    assert all(result.applied for result in results)
    assert counts == {b"applied": str(len(jobs)).encode()}
    seen = Counter((arrival["user"], arrival["values"][0]) for arrival in arrivals if arrival["user"])
    assert len(seen) == len(jobs)
    assert max(seen.values()) == 2, "the kill must have caught requests under way, which are sent once more"
    for user in USERS:
        values = [int(arrival["values"][0]) for arrival in arrivals if arrival["user"] == user]
        assert values == sorted(values)
    assert max(user["peak_in_1s"] for user in report["users"].values()) <= 10
    assert report["throttled"] == 0
