"""Settlements of a busy worker whose queue has several shards."""

from __future__ import annotations

import asyncio
from typing import Any

from arq.connections import ArqRedis

from producers import Outcome
from tests.support.changes import change, result
from tests.support.lanes import DEFAULTS, UNHINDERED, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim, Finish
from worker.queue.settle import Settler
from worker.queue.settlement_rows import SettleReply


class GatedClock(ManualClock):
    """A clock whose sleeps end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep until the test lets it go on."""
        del seconds
        self.sleeps.set()
        await self.may_go_on.wait()


class CountingSettler(Settler):
    """A settler that counts the runs of its script."""

    runs = 0

    async def _run(self, run: Any) -> SettleReply:
        self.runs += 1
        return await super()._run(run)


async def settled_in(redis: ArqRedis, clock: ManualClock, shards: int) -> int:
    """Settle two changes at once, then two one after the other; return in how many runs."""
    lanes = Lanes(redis)
    await lanes.submit(*((f"j{number}", change(str(number))) for number in range(4)))
    settler = CountingSettler(redis, clock, DEFAULTS, UNHINDERED, shards=shards)
    claims = await lanes.claim()

    def settle(claim: Claim) -> asyncio.Task[object]:
        finish = Finish(claim=claim, results=(result(claim.job_id, Outcome.APPLIED),))
        return asyncio.create_task(settler.settle(finish))

    await asyncio.gather(*map(settle, claims[:2]))
    first = settle(claims[2])
    if isinstance(clock, GatedClock):
        await clock.sleeps.wait()
        last = settle(claims[3])
        await asyncio.sleep(0)
        clock.may_go_on.set()
    else:
        await first
        last = settle(claims[3])
    await asyncio.gather(first, last)
    return settler.runs


async def test_a_settler_of_shards_that_is_busy_waits_for_more_settlements(fake_redis: ArqRedis) -> None:
    """Else a run would have as many fewer as there are shards."""
    async with asyncio.timeout(30):
        assert await settled_in(fake_redis, GatedClock(), shards=3) == 2


async def test_the_settler_of_a_queue_without_shards_waits_for_none(fake_redis: ArqRedis) -> None:
    """What comes during a round trip shares the next one."""
    async with asyncio.timeout(30):
        assert await settled_in(fake_redis, ManualClock(), shards=1) == 3
