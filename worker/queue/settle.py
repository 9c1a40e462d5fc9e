"""Settling attempts: the settle script's wrapper, which sends settlements in batches."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import assert_never

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from producers.contract import keyspace
from producers.contract.codec import encode_result
from producers.queue.batch_ids import BATCH_IDS
from producers.queue.breaker import BREAKER, BreakerEvent
from producers.queue.bucket import BUCKET_CONSTANTS, US_PER_S
from producers.queue.finish import FINISH
from producers.transport.clients import keyspace_of
from producers.transport.redis_errors import is_away
from producers.transport.scripts import Argument, Part, Script
from worker.clock import Clock
from worker.queue.claims import Claim, Finish, Requeue, Settled, Settlement
from worker.queue.rate import Pacing
from worker.queue.redis_clock import MAX_CLOCK_ERROR_S
from worker.queue.redis_retry import RedisAvailability
from worker.settings import WorkerSettings


class SettleAction(StrEnum):
    """What to do with the lane. Shared with settle.lua."""

    FINISH = "finish"
    REQUEUE = "requeue"


CLEAR_MARK = "-"
"""The argument of settle.lua that removes a user's rejected-keys mark; "" changes nothing."""

SETTLE = Script.load(
    "worker.queue",
    "settle.lua",
    parts=[BATCH_IDS, FINISH, BREAKER, Part("worker.queue", "round_trips.lua")],
    constants={
        "BUCKET_SUFFIX": keyspace.BUCKET_SUFFIX,
        "SETTLE_ACTION": SettleAction,
        "CLEAR_MARK": CLEAR_MARK,
        "MAX_CLOCK_ERROR": round(MAX_CLOCK_ERROR_S * US_PER_S),
        **BUCKET_CONSTANTS,
    },
    runs_when_full=True,
)

BATCH_SIZE = 128
"""Most settlements in one round trip."""

RETRY_S = 0.2
"""Pause before settlements that Redis did not accept are sent again."""

ABSENT = -1
"""An argument of settle.lua that has no value: no reply came, or nothing was sent."""

PART = "settlements"

Waiting = tuple[Settlement, tuple[Argument, ...], asyncio.Future[Settled]]
"""A settlement, its encoded action, and the future of its caller."""


class Settler:
    """Writes settlements. Those that arrive during a round trip share the next one."""

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        settings: WorkerSettings,
        pacing: Pacing,
        *,
        availability: RedisAvailability | None = None,
    ) -> None:
        self._redis = redis
        self._availability = availability or RedisAvailability(clock)
        self._clock = clock
        self._egress = keyspace.escape(settings.egress)
        self._settings: list[Argument] = [
            pacing.per_window,
            pacing.window_us,
            pacing.egress_pace_us,
            round(settings.egress_hold_s * 1000),
            max(1, round(settings.result_ttl_s * 1000)),
            max(1, round(settings.dead_letter_ttl_s * 1000)),
        ]
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> Settled:
        """Write one settlement; retry without limit while Redis is away.

        A late settlement is safe, and counts if nobody has claimed the lane since; else the script fences it.
        """
        action = _encode_action(settlement)  # not in `_write`: an encoding error must reach only this caller
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, action, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="copytrade settle")
        return await future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_SIZE], self._waiting[BATCH_SIZE:]
            try:
                replies = await self._send(batch)
            except (RedisError, OSError) as exc:
                replies = [exc] * len(batch)
            if not self._resolve(batch, replies):
                self._availability.served(PART)
                continue
            self._availability.failed(PART, next(reply for reply in replies if isinstance(reply, Exception)))
            await self._clock.sleep(RETRY_S)

    def _resolve(self, batch: list[Waiting], replies: list[list[int] | Exception]) -> bool:
        """Resolve the futures of a batch; return whether some settlements must be sent again."""
        must_retry = False
        for entry, reply in zip(batch, replies, strict=True):
            settlement, _, future = entry
            if isinstance(reply, Exception) and (is_away(reply) or self._is_leased(settlement.claim)):
                self._waiting.append(entry)
                must_retry = True
            elif not future.done():
                future.set_result(_settled(reply))
        return must_retry

    def _is_leased(self, claim: Claim) -> bool:
        return self._clock.monotonic() < claim.lease_until_s

    async def _send(self, batch: list[Waiting]) -> list[list[int] | Exception]:
        replies = await self._run(batch)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # Settling twice is harmless: what the first run settled is fenced for the second.
            replies = await self._run(batch, is_known=False)
        return replies

    async def _run(self, batch: list[Waiting], *, is_known: bool = True) -> list[list[int] | Exception]:
        script = SETTLE.bind(keyspace_of(self._redis))
        pipe = self._redis.pipeline(transaction=False)
        for settlement, action, _ in batch:
            pipe.execute_command(*script.command([*self._arguments(settlement), *action], is_known=is_known))
        return await pipe.execute(raise_on_error=False)

    def _arguments(self, settlement: Settlement) -> list[Argument]:
        claim, request = settlement.claim, settlement.request
        now_s = self._clock.monotonic()
        reply_age_us = round_trip_us = ABSENT
        failure_kind, is_explained, retry_after_ms, late_us = "", 0, 0, 0
        if request is not None:
            # Computed just before sending: any time until the script runs makes the guard stricter, never laxer.
            reply_age_us = max(0, round((now_s - request.ended_s) * US_PER_S))
            if request.round_trip_s is not None:
                round_trip_us = round(request.round_trip_s * US_PER_S)
            failure_kind, is_explained = request.failure_kind or "", int(request.keys_replaced)
            retry_after_ms = round((request.retry_after_s or 0.0) * 1000)
            late_us = max(0, round((request.late_until_s - now_s) * US_PER_S))
        steady_us = round(max(0.0, now_s - claim.redis_clock_steady_since_s) * US_PER_S)
        return [
            *self._settings,
            *(claim.lane, self._egress, claim.job_id, claim.token, claim.slot_number),
            *(reply_age_us, round_trip_us, failure_kind, is_explained, retry_after_ms),
            *(claim.redis_ms(now_s) * 1000, steady_us),
            _mark_argument(settlement),
            late_us,
        ]


def _mark_argument(settlement: Settlement) -> str:
    """Return the change of the user's rejected-keys mark: a new one, `CLEAR_MARK`, or "" for none."""
    request, before = settlement.request, settlement.claim.rejected_keys_mark
    if request is None or request.rejected_keys_mark == before:
        return ""
    return request.rejected_keys_mark or CLEAR_MARK


def _encode_action(settlement: Settlement) -> tuple[Argument, ...]:
    match settlement:
        case Requeue():
            delay_ms, hold_ms = round(settlement.delay_s * 1000), round(settlement.hold_s * 1000)
            return SettleAction.REQUEUE, settlement.history, delay_ms, hold_ms, settlement.send_alone_until or ""
        case Finish():
            action: list[Argument] = [SettleAction.FINISH, settlement.history or b"", settlement.requeue_history or b""]
            for result in settlement.results:
                action += (result.job_id, result.outcome.value, encode_result(result))
            return tuple(action)
        case _:
            assert_never(settlement)


def _settled(reply: list[int] | Exception) -> Settled:
    """Decode a reply. An error means that the lease ended before Redis accepted the settlement: it counts as fenced."""
    if isinstance(reply, Exception):
        return Settled(fenced=True, finished=0, due_in_s=None)
    written, due_us, finished, breaker, again_us = reply
    return Settled(
        fenced=not written,
        finished=finished,
        due_in_s=None if due_us < 0 else due_us / US_PER_S,
        breaker=BreakerEvent(breaker),
        again_in_s=again_us / US_PER_S,
    )
