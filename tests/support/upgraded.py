"""A queue of an earlier version on a real server, as a test drains it."""

from __future__ import annotations

from typing import Any

from producers.transport.dsn import open_redis
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import START_US, ManualClock
from tests.support.stored_queue import StoredQueue
from tests.support.timed_redis import TimedRedis
from worker.queue.claims import Claim

IDLE_S = 5.0
"""Nothing more is due when the next user is due later than this, or never."""


class Upgraded(Lanes):
    """A stored queue on a real server, drained by the scripts and decisions of this version."""

    redis: TimedRedis
    clock: ManualClock
    queue: StoredQueue

    async def advance(self, seconds: float) -> None:
        """Move the worker's clock and the server's on."""
        self.clock.advance(seconds)
        await self.redis.set_time(self.clock.now_us - START_US + self.queue.at_us)

    async def drain(self) -> list[Claim]:
        """Answer every request with success until nothing is due; return the claims in order."""
        made: list[Claim] = []
        while True:
            claims = await self.claims()
            for claim in claims.claims:
                await self.attempt(claim, code="00000")
            made += claims.claims
            if not claims.claims and (claims.next_due_s is None or claims.next_due_s > IDLE_S):
                return made
            await self.advance((claims.next_due_s or 0) + 0.001)

    async def values(self) -> dict[str, Any]:
        """Return every key with its value."""
        return {key: value for key, (value, _) in (await self.redis.all_there_is()).items()}


async def open_queue(dsn: str, queue: StoredQueue) -> Upgraded:
    redis = open_redis(dsn, TimedRedis, timeout_s=5)
    lanes = Upgraded(redis, clock=ManualClock(), pacing=PACING)
    lanes.queue = queue
    await redis.set_time(queue.at_us)
    await queue.load(redis)
    return lanes
