"""The heartbeat: renews the leases of running attempts. A slow attempt keeps its lane; a dead worker loses its lanes.

Whatever blocks the whole process (a stop signal, a blocked event loop, a machine that sleeps) blocks the heartbeat too:
the lease ends, and the attempt is not sent. A lane's score in its schedule is the end of its lease: the lane of a dead
worker is due again at that time, and the next claim takes it (claim.lua).
"""

from __future__ import annotations

import logging
import math

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.transport.clients import keyspace_of
from producers.transport.scripts import Argument, Script
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.claims import Claim
from worker.queue.redis_retry import RedisAvailability

RENEW = Script.load("worker.queue", "renew.lua", runs_when_full=True)

BEATS_PER_LEASE = 3
"""Two beats may fail before a lease ends."""

RETRY_S = 0.2
"""Pause before leases that were not renewed are renewed again."""

BATCH_SIZE = 500
"""Most leases renewed in one round trip."""

PART = "renewing leases"

log = logging.getLogger(__name__)


class Heartbeat:
    """Renews the leases of the claims that it holds, and tracks when each of them ends."""

    def __init__(
        self, redis: Redis, clock: Clock, *, lease_s: float, availability: RedisAvailability | None = None
    ) -> None:
        self._redis = redis
        self._availability = availability or RedisAvailability(clock)
        self._clock = clock
        self._lease_s = lease_s
        self._interval_s = lease_s / BEATS_PER_LEASE
        self._until_s: dict[str, float] = {}
        self._held: dict[str, Claim] = {}

    def hold(self, claim: Claim) -> None:
        """Renew a claim's lease from now on."""
        self._held[claim.token] = claim
        self._until_s.setdefault(claim.token, claim.lease_until_s)

    def release(self, claim: Claim) -> None:
        """Stop renewing a claim's lease."""
        self._held.pop(claim.token, None)
        self._until_s.pop(claim.token, None)

    def lease_until_s(self, claim: Claim) -> float:
        """Return until when the lane is certainly this worker's, monotonic clock; minus infinity if it was lost."""
        return self._until_s.get(claim.token, claim.lease_until_s)

    async def run(self) -> None:
        """Renew leases until cancelled. While Redis is away, try often, to be early when it is back."""
        pause_s = self._interval_s
        while True:
            await self._clock.sleep(pause_s)
            try:
                await self.beat()
            except (RedisError, OSError) as exc:
                pause_s = min(RETRY_S, self._interval_s)
                self._availability.failed(PART, exc)
            except Exception:
                log.exception("unexpected error in the heartbeat; it continues", extra=log_fields(Event.INTERNAL_ERROR))
            else:
                pause_s = self._interval_s
                self._availability.served(PART)

    async def beat(self) -> None:
        """Renew the leases that are more than half an interval old.

        Raises:
            redis.exceptions.RedisError: Redis did not answer; the leases stay as they were.
        """
        renew_before_s = self._clock.monotonic() + self._lease_s - self._interval_s / 2
        due = [claim for token, claim in self._held.items() if self._until_s[token] < renew_before_s]
        for start in range(0, len(due), BATCH_SIZE):
            await self._renew(due[start : start + BATCH_SIZE])

    async def _renew(self, claims: list[Claim]) -> None:
        arguments: list[Argument] = [round(self._lease_s * 1000)]
        for claim in claims:
            arguments += (claim.lane, claim.token)
        asked_at_s = self._clock.monotonic()
        replies = await RENEW.run(self._redis, keyspace_of(self._redis), arguments)
        for claim, renewed in zip(claims, replies, strict=True):
            if claim.token in self._held:  # not settled meanwhile
                self._until_s[claim.token] = asked_at_s + self._lease_s if renewed else -math.inf
