"""A queue with shards, driven step by step: `Lanes` over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis

from producers import Outcome, SettingsChange
from producers.contract.keyspace import unescape
from producers.contract.shards import shard_of
from producers.transport.clients import keyspace_of
from producers.transport.dsn import open_redis
from producers.transport.shards import Client, Shards
from tests.support.lanes import Lanes
from worker.queue.claims import Claim, Settled

SHARDS = 4


def with_first_at(clients: Shards[Client], dsn: str, *, timeout_s: float = 5) -> Shards[Client]:
    """Return clients that look for their first shard elsewhere: it is away there."""
    first = clients.clients[0]
    away = open_redis(dsn, type(first), keyspace=keyspace_of(first), timeout_s=timeout_s)
    return Shards(clients.home, (away, *clients.clients[1:]))


class ShardedLanes:
    """What `Lanes` does on one Redis, on the shard of each user."""

    def __init__(self, clients: Sequence[Redis]) -> None:
        self.parts = [Lanes(redis) for redis in clients]

    def of(self, user_id: str) -> Lanes:
        """Return the lanes of a user's shard."""
        return self.parts[shard_of(user_id, len(self.parts))]

    async def claim(self, most: int = 100) -> list[Claim]:
        """Return the claims of one call in each shard."""
        return [claim for part in self.parts for claim in await part.claim(most)]

    async def claim_one(self) -> Claim:
        """Return the only claim."""
        (only,) = await self.claim()
        return only

    async def heads(self) -> AsyncIterator[Claim]:
        """Claims one after the other, each to be settled before the next, until nothing is due."""
        for part in self.parts:
            async for claim in part.heads():
                yield claim

    async def done(self, claim: Claim, outcome: Outcome = Outcome.APPLIED, **changed: Any) -> Settled:
        """End a claim's change."""
        return await self._of(claim).done(claim, outcome, **changed)

    async def back(self, claim: Claim, delay_s: float = 0, **changed: Any) -> Settled:
        """Put a claim's lane back."""
        return await self._of(claim).back(claim, delay_s, **changed)

    async def attempt(self, claim: Claim, verdict: str = "success", **changed: Any) -> Settled:
        """Return the settlement of a claim whose request just got this verdict."""
        return await self._of(claim).attempt(claim, verdict, **changed)

    async def submit(self, *changes: tuple[str, SettingsChange], **options: Any) -> list[int]:
        """Submit (job ID, change), each in the shard of its user, and return the script's verdicts."""
        return [(await self.of(one.user_id).submit((job_id, one), **options))[0] for job_id, one in changes]

    async def queued(self, lane: str) -> list[str]:
        """Return the job IDs of a lane, head first."""
        return await self.of(unescape(lane.partition(":")[0])).queued(lane)

    async def uncovered(self) -> set[str]:
        """Return the lanes for which invariant 1 does not hold."""
        return {lane for part in self.parts for lane in await part.uncovered()}

    async def drain(self, *outcomes: Outcome) -> list[str]:
        """End all changes that are due, with the outcomes in turn; return their job IDs in that order."""
        ended: list[str] = []
        async for claim in self.heads():
            await self.done(claim, outcomes[len(ended) % len(outcomes)] if outcomes else Outcome.APPLIED)
            ended.append(claim.job_id)
        return ended

    def _of(self, claim: Claim) -> Lanes:
        return self.of(unescape(claim.lane.partition(":")[0]))
