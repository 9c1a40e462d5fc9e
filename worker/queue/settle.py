"""Settling attempts: the settle script's wrapper. Settlements that come up together share a round trip."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.contract import keyspace
from producers.contract.codec import encode_result
from producers.queue.finish import FINISH
from producers.transport.scripts import Argument, Part, Script
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.claims import Breaker, Claim, Settled, Settlement
from worker.queue.rate import US_PER_S, Pacing
from worker.settings import WorkerSettings

SETTLE = Script.load("worker.queue", "settle.lua", parts=[FINISH, Part("producers.queue", "breaker.lua")])

BATCH_SIZE = 128

RETRY_S = 0.2
"""Pause before settlements that Redis did not take are tried again."""

NONE = -1

log = logging.getLogger(__name__)


Waiting = tuple[Settlement, tuple[Argument, ...], asyncio.Future[Settled]]
"""A settlement, its verb with what belongs to it, and who waits for it."""


class Settler:
    """Writes settlements; those that come up while one trip is under way share the next."""

    def __init__(self, redis: Redis, clock: Clock, settings: WorkerSettings, pacing: Pacing) -> None:
        self._redis = redis
        self._clock = clock
        self._pacing = pacing
        self._egress = keyspace.escape(settings.egress)
        self._egress_hold_ms = round(settings.egress_hold_s * 1000)
        self._ttls_ms = (
            max(1, round(settings.result_ttl_s * 1000)),
            max(1, round(settings.dead_letter_ttl_s * 1000)),
        )
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> Settled:
        """Writes one settlement. While Redis is away it is tried again, for as long as that takes.

        However late it comes, its token keeps it from changing a lane that went to another worker.
        """
        verb = self._verb(settlement)  # encoded here, where a failure is that of this settlement alone
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, verb, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="copytrade settle")
        return await future

    async def _write(self) -> None:
        failures = 0
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_SIZE], self._waiting[BATCH_SIZE:]
            try:
                replies = await self._trip(batch)
            except (RedisError, OSError) as exc:
                replies = [exc] * len(batch)
            if not self._resolve(batch, replies):
                failures = 0
                continue
            failures += 1
            if failures & (failures - 1) == 0:  # at tries 1, 2, 4, 8 and so on
                why = next(reply for reply in replies if isinstance(reply, Exception))
                log.warning(
                    "Redis took not all settlements (%s); trying again", why, extra=log_fields(Event.REDIS_AWAY)
                )
            await self._clock.sleep(RETRY_S)

    def _resolve(self, batch: list[Waiting], replies: list[list[int] | Exception]) -> bool:
        """Answers those who wait; returns whether something must be written again."""
        again = False
        for entry, reply in zip(batch, replies, strict=True):
            settlement, _, future = entry
            if isinstance(reply, Exception) and (_is_away(reply) or self._leased(settlement.claim)):
                self._waiting.append(entry)
                again = True
            elif not future.done():
                future.set_result(_settled(reply))
        return again

    def _leased(self, claim: Claim) -> bool:
        return self._clock.monotonic() < claim.lease_until_s

    async def _trip(self, batch: list[Waiting]) -> list[list[int] | Exception]:
        replies = await self._run("EVALSHA", SETTLE.sha, batch)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # Settling twice is harmless: what the first run settled, the second finds fenced.
            replies = await self._run("EVAL", SETTLE.text, batch)
        return replies

    async def _run(self, command: str, script: str, batch: list[Waiting]) -> list[list[int] | Exception]:
        pipe = self._redis.pipeline(transaction=False)
        for settlement, verb, _ in batch:
            script_keys = self._keys(settlement.claim)
            pipe.execute_command(command, script, len(script_keys), *script_keys, *self._arguments(settlement), *verb)
        return await pipe.execute(raise_on_error=False)

    def _keys(self, claim: Claim) -> list[str]:
        return [
            keyspace.SCHEDULE,
            keyspace.BULK_SCHEDULE,
            keyspace.LANES,
            keyspace.LANE + claim.lane,
            keyspace.HEAD + claim.lane,
            keyspace.bucket(claim.lane),
            keyspace.EGRESS + self._egress,
            keyspace.EGRESSES,
            keyspace.TROUBLES + self._egress,
            keyspace.REFUSED,
            keyspace.BELL,
        ]

    def _arguments(self, settlement: Settlement) -> list[Argument]:
        claim = settlement.claim
        return [
            claim.lane,
            claim.job_id,
            claim.token,
            claim.slot_number,
            self._pacing.per_window,
            self._pacing.window_us,
            self._reply_age_us(settlement),
            NONE if settlement.round_trip_s is None else round(settlement.round_trip_s * US_PER_S),
            round(settlement.hold_s * 1000),
            claim.lane.partition(":")[0],
            self._egress_hold_ms,
            self._pacing.egress_pace_us,
            settlement.failure_kind,
            settlement.rejected_keys_mark,
            *self._ttls_ms,
        ]

    def _verb(self, settlement: Settlement) -> tuple[Argument, ...]:
        if settlement.result is None:
            return "back", round(settlement.delay_s * 1000), settlement.state, settlement.send_alone_until
        verb: list[Argument] = ["done", settlement.requeue_history, settlement.state]
        for result in (settlement.result, *settlement.joined):
            verb += (result.job_id, result.outcome.value, encode_result(result))
        return tuple(verb)

    def _reply_age_us(self, settlement: Settlement) -> int:
        """Taken as late as can be: what passes between here and the script makes the guard stricter, never laxer."""
        if settlement.replied_at_s is None:
            return NONE
        return max(0, round((self._clock.monotonic() - settlement.replied_at_s) * US_PER_S))


def _is_away(exc: Exception) -> bool:
    """Whether Redis will take it later: away, restarting, demoted or full. Else something is wrong with the keys."""
    return isinstance(exc, (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OutOfMemoryError, OSError))


def _settled(reply: list[int] | Exception) -> Settled:
    """What the script did; without its answer before the lease ended, the lane is lost."""
    if isinstance(reply, Exception):
        return Settled(fenced=True, ended=0, due_in_s=None)
    written, due_us, ended, breaker = reply
    return Settled(
        fenced=not written,
        ended=ended,
        due_in_s=None if due_us < 0 else due_us / US_PER_S,
        breaker=Breaker(breaker),
    )
