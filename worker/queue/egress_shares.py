"""The shares of this worker's egress: agreed on with its other workers in the home, once in each epoch."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from producers.contract.keyspace import escape
from producers.queue.bucket import US_PER_S
from producers.transport.shards import Shards
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.egress_share import ClaimPace
from worker.queue.epochs import KnownShares
from worker.queue.rate import Pacing
from worker.queue.redis_retry import RedisAvailability
from worker.queue.share_exchange import DemandReply, DemandRequest, SharesRequest, fetch_demand, fetch_shares
from worker.queue.shares import WHOLE, Demand, allocate, epoch_us, floor_share, has_changed, pace_us
from worker.settings import WorkerSettings

ASK_FROM, ASK_UNTIL = 0.05, 0.25
"""In which part of an epoch a worker asks. By then the home's clock is in the epoch, and much of it is left."""

RETRY_S = 0.2
"""Pause before the home is asked again that did not answer."""

DEMAND_PART = 0.2
"""The part of an epoch that a shard has to say what it has to send."""

MAX_SILENCE = 3
"""For how many questions in a row that it does not answer in time a shard's last answer counts. Then it has nothing to
send, so that a shard that hangs does not keep its share for ever."""

PART = "the shares of the egress"

log = logging.getLogger(__name__)


class EgressShares:
    """What a worker knows of the shares of its egress, kept up to date by `run`.

    Attributes:
        clock: measures and sleeps.
        floor: the share that each shard may use at any time, in millionths.
    """

    def __init__(
        self,
        shards: Shards[Any],
        clock: Clock,
        settings: WorkerSettings,
        pacing: Pacing,
        *,
        availability: RedisAvailability | None = None,
    ) -> None:
        self._shards = shards
        self.clock = clock
        self._pacing = pacing
        self._availability = availability or RedisAvailability(clock)
        self._egress = escape(settings.egress)
        count = len(shards.clients)
        self._epoch_us = epoch_us(pacing, count)
        self.floor = floor_share(count)
        self._known: KnownShares | None = None
        self._user_requests = math.ceil(settings.user_rate_per_s * self._epoch_us / US_PER_S)
        self._demands = [Demand()] * count
        self._silent = [0] * count  # questions in a row that a shard did not answer in time
        self._taken: list[tuple[int, float] | None] = [None] * count
        self._claimed_by = [0] * count  # the pace of the last claim of each shard
        self._on_more: list[Callable[[], object]] = [lambda: None] * count

    def of(self, shard: int) -> ShardShare:
        """Return the share of a shard."""
        return ShardShare(self, self._pacing, shard)

    def on_more(self, shard: int, call: Callable[[], object]) -> None:
        """Have `call` called whenever a shard may use more than before."""
        self._on_more[shard] = call

    @property
    def known(self) -> KnownShares | None:
        """What is known; None until the home has answered."""
        return self._known

    async def run(self) -> None:
        """Ask in each epoch, until cancelled. While the home does not answer, each shard falls back to the floor."""
        while True:
            known = await self.ask_or_fail()
            self._tell()
            if known is None:
                await self.clock.sleep(RETRY_S)
                continue
            await self._sleep_until(known.begins_s(known.epoch + 1))
            self._tell()
            fraction = random.uniform(ASK_FROM, ASK_UNTIL)  # noqa: S311 - so that workers do not ask at once
            await self._sleep_until(known.begins_s(known.epoch + 1, fraction))

    async def ask_or_fail(self) -> KnownShares | None:
        """Ask; log it and return None if the home does not answer."""
        try:
            known = await self.ask()
        except (RedisError, OSError) as exc:
            self._availability.failed(PART, exc)
            return None
        except Exception:
            log.exception("unexpected error in the shares; it continues", extra=log_fields(Event.INTERNAL_ERROR))
            return None
        self._availability.served(PART)
        return known

    async def ask(self) -> KnownShares:
        """Measure what the shards have to send, and agree on their shares.

        Raises:
            redis.exceptions.RedisError: the home did not answer; what is known stays.
        """
        await self._measure()
        request = SharesRequest(self._egress, self._epoch_us, self.floor, self._wanted())
        asked_s = self.clock.uptime()
        reply = await fetch_shares(self._shards.home, request)
        self._known = KnownShares(
            epoch_us=reply.epoch_us,
            epoch=reply.epoch,
            shares=tuple(reply.shares),
            next_shares=tuple(reply.next_shares),
            now_us=reply.now_us,
            asked_s=asked_s,
            answered_s=self.clock.uptime(),
        )
        return self._known

    def _wanted(self) -> list[int]:
        wanted = allocate(self._demands, egress_rate_per_s=US_PER_S / self._pacing.egress_pace_us)
        latest = self._known.next_shares if self._known else ()
        return list(latest) if sum(latest) == WHOLE and not has_changed(latest, wanted) else wanted

    async def _measure(self) -> None:
        """Ask all shards for their demand. One that does not answer in time keeps what it said last, for a while."""
        self._silent = [silent + 1 for silent in self._silent]
        asking = {
            asyncio.create_task(self._measure_shard(number, client), name="copytrade demand")
            for number, client in enumerate(self._shards.clients)
        }
        try:
            await asyncio.wait(asking, timeout=DEMAND_PART * self._epoch_us / US_PER_S)
        finally:
            for task in asking:
                task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for number, silent in enumerate(self._silent):
            if silent > MAX_SILENCE:
                self._demands[number] = Demand()

    async def _measure_shard(self, number: int, client: Any) -> None:
        try:
            reply = await fetch_demand(client, DemandRequest(self._egress, self._user_requests))
        except (RedisError, OSError):
            self._demands[number] = Demand()  # the shard's dispatcher logs it
            return
        self._silent[number] = 0
        epoch_s = self._epoch_us / US_PER_S
        sent_per_s = self._sent_per_s(number, reply)
        self._demands[number] = Demand(reply.interactive / epoch_s, reply.bulk / epoch_s, sent_per_s)

    def _sent_per_s(self, number: int, reply: DemandReply) -> float:
        """Return the requests a second in a shard since the last reading of its count, which may have begun anew."""
        before, now_s = self._taken[number], self.clock.uptime()
        self._taken[number] = reply.taken, now_s
        if before is None or now_s <= before[1]:
            return 0.0
        return max(0, reply.taken - before[0]) / (now_s - before[1])

    def claim_pace(self, shard: int, now_s: float) -> ClaimPace:
        """Return the pace for a claim in a shard that is made now, by `Clock.uptime`."""
        pace = self._usable(shard, now_s)
        self._claimed_by[shard] = pace.pace_us
        return pace

    def _usable(self, shard: int, now_s: float) -> ClaimPace:
        if self._known is None:
            return ClaimPace(pace_us(self._pacing, self.floor))
        share, until_s = self._known.usable(self._pacing, shard, now_s)
        return ClaimPace(pace_us(self._pacing, share), until_s)

    def _tell(self) -> None:
        """Tell the shards that may use more than at their last claim: they may be waiting for a slot by that."""
        now_s = self.clock.uptime()
        for shard, call in enumerate(self._on_more):
            if self._usable(shard, now_s).pace_us < self._claimed_by[shard]:
                call()

    async def _sleep_until(self, at_s: float) -> None:
        await self.clock.sleep(max(0.0, at_s - self.clock.uptime()))


class ShardShare:
    """What one shard has of the egress's rate."""

    def __init__(self, shares: EgressShares, pacing: Pacing, shard: int) -> None:
        self._shares = shares
        self._shard = shard
        self._least = ClaimPace(pace_us(pacing, shares.floor))

    def pace(self, now_s: float) -> ClaimPace:
        """Return the pace for a claim that is made now, by `Clock.uptime`."""
        return self._shares.claim_pace(self._shard, now_s)

    def least(self) -> ClaimPace:
        """Return the pace of the floor."""
        return self._least
