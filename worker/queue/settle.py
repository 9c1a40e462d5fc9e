"""Settling claims: the settle script's wrapper, which sends settlements in runs."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.contract import keyspace
from producers.contract.messages import THROTTLED
from producers.queue.breaker import BreakerEvent
from producers.queue.bucket import US_PER_S
from producers.queue.parts import BATCHES, BREAKER, EGRESS, FINISH, LANES, SESSION
from producers.transport.clients import keyspace_of
from producers.transport.redis_errors import is_away
from producers.transport.script_messages import decode, encode
from producers.transport.scripts import Part, Script
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.claims import Claim, Settled, Settlement
from worker.queue.rate import Pacing
from worker.queue.redis_clock import MAX_CLOCK_ERROR_S
from worker.queue.redis_retry import RedisAvailability
from worker.queue.settlement_rows import (
    CLEAR_MARK,
    EncodedSettlement,
    SettleAction,
    SettleReply,
    SettleRequest,
    Written,
)
from worker.settings import WorkerSettings

SETTLE = Script.load(
    "worker.queue",
    "settle.lua",
    parts=[
        *LANES,
        EGRESS,
        BREAKER,
        SESSION,
        BATCHES,
        FINISH,
        Part("worker.queue", "round_trips.lua"),
        Part("worker.queue", "slowdown.lua"),
    ],
    constants={
        "SETTLE_ACTION": SettleAction,
        "WRITTEN": Written,
        "CLEAR_MARK": CLEAR_MARK,
        "THROTTLED": THROTTLED,
        "MAX_CLOCK_ERROR": round(MAX_CLOCK_ERROR_S * US_PER_S),
    },
    request=SettleRequest,
    reply=SettleReply,
    runs_when_full=True,
)

BATCH_SIZE = 64
"""Most settlements in one run of the script: some 4 ms of Redis."""

RETRY_S = 0.2
"""Pause before settlements that Redis did not accept are sent again."""

PART = "settlements"

log = logging.getLogger(__name__)


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
        self._egress_pace_us = pacing.egress_pace_us
        self._max_throttled_pause_ms = round(settings.egress_hold_s * 1000)
        self._result_ttl_ms = max(1, round(settings.result_ttl_s * 1000))
        self._dead_letter_ttl_ms = max(1, round(settings.dead_letter_ttl_s * 1000))
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> Settled:
        """Write one settlement; retry without limit while Redis is away.

        A late settlement is safe, and counts while the session holds the lane; else the script fences it.
        """
        waiting = _Waiting(settlement)  # not in `_write`: an encoding error must reach only this caller
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="copytrade settle")
        return await waiting.future

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # settlements that are ready now share the run
            run = self._next_run()
            try:
                reply = await self._run(run)
            except (RedisError, OSError) as exc:
                self._availability.failed(PART, exc)
                if is_away(exc) or len(run) == 1:
                    self._waiting = run + self._waiting
                await self._clock.sleep(RETRY_S)
                continue
            self._availability.served(PART)
            if self._resolve(run, reply):
                await self._clock.sleep(RETRY_S)

    def _next_run(self) -> list[_Waiting]:
        """Take settlements of one session, oldest first."""
        session_id = self._waiting[0].settlement.claim.session_id
        run = [waiting for waiting in self._waiting if waiting.settlement.claim.session_id == session_id][:BATCH_SIZE]
        taken = set(map(id, run))
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in taken]
        return run

    def _resolve(self, run: list[_Waiting], reply: SettleReply) -> bool:
        """Resolve the futures of a run; return whether some settlements must be sent again."""
        must_retry = False
        next_due_s = None if reply.next_due_us < 0 else reply.next_due_us / US_PER_S
        for waiting, row in zip(run, reply.rows, strict=True):
            if row.written == Written.FAILED:
                self._log_failed(waiting.settlement.claim, row.error)
                self._waiting.append(waiting)
                must_retry = True
            elif not waiting.future.done():
                waiting.future.set_result(
                    Settled(
                        fenced=row.written == Written.FENCED,
                        finished=row.finished,
                        breaker=BreakerEvent(row.breaker_event),
                        again_in_s=row.again_us / US_PER_S,
                        next_due_s=next_due_s,
                    )
                )
        return must_retry

    def _log_failed(self, claim: Claim, error: str) -> None:
        extra = log_fields(Event.MALFORMED, lane=claim.lane, job=claim.job_id)
        log.error("lane %s: its settlement cannot be written, and is tried again: %s", claim.lane, error, extra=extra)

    async def _run(self, run: list[_Waiting]) -> SettleReply:
        """Run the script. Settling twice is harmless: what the first run settled is fenced for the second."""
        now_s = self._clock.monotonic()
        claim = run[-1].settlement.claim
        further: list[bytes] = []
        request = SettleRequest(
            session=claim.session_id,
            egress=self._egress,
            egress_pace=self._egress_pace_us,
            max_throttled_pause_ms=self._max_throttled_pause_ms,
            result_ttl_ms=self._result_ttl_ms,
            dead_letter_ttl_ms=self._dead_letter_ttl_ms,
            reckoned_now=claim.redis_ms(now_s) * 1000,
            settlements=[waiting.row(now_s, further) for waiting in run],
        )
        reply = await SETTLE.run(self._redis, keyspace_of(self._redis), [encode(request), *further])
        return decode(SettleReply, reply)


class _Waiting(EncodedSettlement):
    """A settlement that is to be written, and the future of its caller."""

    def __init__(self, settlement: Settlement) -> None:
        super().__init__(settlement)
        self.future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
