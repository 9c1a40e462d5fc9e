"""Slots of an egress for requests that send no change, such as one for the exchange's time."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.contract.keyspace import escape
from producers.queue.bucket import LOOK_AHEAD_US, US_PER_S
from producers.queue.parts import CLOCK, EGRESS
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import Message, decode, encode
from producers.transport.scripts import Script
from worker.clock import Clock
from worker.queue.egress_share import EgressShare
from worker.queue.rate import Pacing

MAX_WAIT_S = 5.0
"""How long a request waits for its slot. An egress that is busy for longer has none to spare."""


class SlotState(IntEnum):
    """What became of the question for a slot."""

    TAKEN = 1
    LATER = 2
    """The next slot is too far ahead; none was taken."""
    BLOCKED = 3
    """The egress's breaker is open; none was taken."""


class EgressSlotRequest(Message):
    """What egress_slot.lua is given.

    Attributes:
        egress: name of the egress, escaped.
        egress_pace: time between two of its slots (us).
        egress_burst: how far it may be ahead of its pace (us).
        ahead: how far ahead the slot may be (us).
    """

    egress: str
    egress_pace: int
    egress_burst: int
    ahead: int


class EgressSlotReply(Message):
    """What egress_slot.lua replies: what became of it, a `SlotState`, and the us until the next slot."""

    state: int
    wait_us: int


_TAKE = Script.load(
    "worker.exchange",
    "egress_slot.lua",
    parts=[CLOCK, EGRESS],
    constants={"SLOT_STATE": SlotState},
    request=EgressSlotRequest,
    reply=EgressSlotReply,
    runs_when_full=True,
)


class EgressSlots:
    """Takes slots of an egress outside of claims; in a queue with several shards, of any shard's share."""

    def __init__(
        self, shards: Sequence[tuple[Redis, EgressShare]], *, clock: Clock, egress: str, pacing: Pacing
    ) -> None:
        """Create it; `shards` are the clients of the shards, each with what it has of the egress's rate."""
        self._shards = shards
        self._clock = clock
        self._egress = escape(egress)
        self._burst_us = pacing.egress_burst_us
        # As in a claim, for a share may end soon after (`spending_us` in worker/queue/shares.py).
        self._ahead_us = LOOK_AHEAD_US if len(shards) > 1 else round(MAX_WAIT_S * US_PER_S)

    async def wait(self) -> SlotState:
        """Take a slot and wait for it. It is LATER if none comes within `MAX_WAIT_S`.

        Raises:
            redis.exceptions.RedisError: no shard answered.
        """
        until_s = self._clock.uptime() + MAX_WAIT_S
        while True:
            reply = await self.take()
            wait_s = reply.wait_us / US_PER_S
            if reply.state != SlotState.LATER:
                await self._clock.sleep(wait_s)
                return SlotState(reply.state)
            if self._clock.uptime() + wait_s > until_s:
                return SlotState.LATER
            await self._clock.sleep(wait_s - self._ahead_us / US_PER_S)

    async def take(self) -> EgressSlotReply:
        """Take a slot of the first shard that has one; those that have most of the rate are asked first.

        Raises:
            redis.exceptions.RedisError: no shard answered.
        """
        soonest: EgressSlotReply | None = None
        error: Exception | None = None
        now_s = self._clock.uptime()
        for redis, share in sorted(self._shards, key=lambda shard: shard[1].pace(now_s).pace_us):
            try:
                reply = await self._take_of(redis, share)
            except (RedisError, OSError) as exc:
                error = exc
                continue
            if reply.state != SlotState.LATER:
                return reply
            if soonest is None or reply.wait_us < soonest.wait_us:
                soonest = reply
        if soonest is None:
            assert error is not None  # noqa: S101 - there is at least one shard
            raise error
        return soonest

    async def _take_of(self, redis: Any, share: EgressShare) -> EgressSlotReply:
        """Take a slot by the share that the shard has now. One that came when that share had ended is not used."""
        pace = share.pace(self._clock.uptime())
        request = EgressSlotRequest(self._egress, pace.pace_us, self._burst_us, self._ahead_us)
        reply = decode(EgressSlotReply, await _TAKE.run(redis, keyspace_of(redis), [encode(request)]))
        is_late = pace.until_s is not None and self._clock.uptime() > pace.until_s
        return EgressSlotReply(SlotState.LATER, pace.pace_us) if is_late else reply
