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
from worker.metrics import WorkerMetrics
from worker.queue.claims import Claim, Settled, Settlement
from worker.queue.rate import Pacing
from worker.queue.redis_clock import MAX_CLOCK_ERROR_S
from worker.queue.redis_retry import RedisAvailability
from worker.queue.settlement_rows import (
    CLEAR_MARK,
    EncodedSettlement,
    SettleAction,
    SettledRow,
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

GATHER_S, MAX_GATHER_S = 0.002, 0.01
"""Pause before a run for each further shard of the queue, and the longest one. Without it the settlements of a busy
worker would go in as many more, smaller runs as there are shards."""

RETRY_S = 0.2
"""Pause before settlements that Redis did not accept are sent again."""

FAILED_RETRY_S = 5.0
"""Pause before a settlement is sent again that could not be written although Redis accepted its run: its lane has a key
of a wrong type, which an operator must remove."""

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
        metrics: WorkerMetrics | None = None,
        shards: int = 1,
    ) -> None:
        """Create a settler for a shard; `shards` is how many the queue has."""
        self._redis = redis
        self._availability = availability or RedisAvailability(clock)
        self._metrics = metrics or WorkerMetrics()
        self._clock = clock
        self._egress = keyspace.escape(settings.egress)
        self._egress_pace_us = pacing.egress_pace_us
        self._max_throttled_pause_ms = round(settings.egress_hold_s * 1000)
        self._result_ttl_ms = max(1, round(settings.result_ttl_s * 1000))
        self._dead_letter_ttl_ms = max(1, round(settings.dead_letter_ttl_s * 1000))
        self._waiting: list[_Waiting] = []
        self._most = BATCH_SIZE
        self._gather_s = min(MAX_GATHER_S, GATHER_S * (shards - 1))
        self._is_busy = False
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> Settled:
        """Write one settlement; retry without limit until it is written.

        A late settlement is safe, and counts while the session holds the lane; else the script fences it.
        """
        encoded = EncodedSettlement(settlement)  # not in `_write`: an encoding error must reach only this caller
        is_logged = False
        while True:
            row, next_due_s, is_repeated = await self._written(encoded)
            if row.written != Written.FAILED:
                return Settled(
                    fenced=row.written == Written.FENCED,
                    finished=row.finished,
                    breaker=BreakerEvent(row.breaker_event),
                    again_in_s=row.again_us / US_PER_S,
                    next_due_s=next_due_s,
                    is_repeated=is_repeated,
                )
            if not is_logged:
                _log_failed(settlement.claim, row.error)
                is_logged = True
            await self._clock.sleep(FAILED_RETRY_S)

    async def _written(self, encoded: EncodedSettlement) -> tuple[SettledRow, float | None, bool]:
        """Return the reply to a settlement, in how many seconds the next user is due, and whether it was repeated."""
        waiting = _Waiting(encoded)
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="copytrade settle")
        row, next_due_s = await waiting.future
        return row, next_due_s, waiting.is_repeated

    async def _write(self) -> None:
        """Send what waits. After a refusal settlements are sent one by one, so that none delays the others."""
        while self._waiting:
            await asyncio.sleep(0)  # settlements that are ready now share the run
            if self._is_busy and self._gather_s:
                await self._clock.sleep(self._gather_s)
            run = self._next_run()
            self._is_busy = len(run) > 1
            try:
                reply = await self._run(run)
            except (RedisError, OSError) as exc:
                self._availability.failed(PART, exc)
                await self._put_back(run, is_refused=not is_away(exc))
            except Exception:
                log.exception("unexpected error in settling; it continues", extra=log_fields(Event.INTERNAL_ERROR))
                await self._put_back(run, is_refused=True)
            else:
                self._availability.served(PART)
                self._most = BATCH_SIZE
                next_due_s = None if reply.next_due_us < 0 else reply.next_due_us / US_PER_S
                for waiting, row in zip(run, reply.rows, strict=True):
                    if not waiting.future.done():
                        waiting.future.set_result((row, next_due_s))

    def _next_run(self) -> list[_Waiting]:
        """Take settlements of one session, oldest first."""
        session_id = self._waiting[0].session_id
        run: list[_Waiting] = []
        others: list[_Waiting] = []
        for waiting in self._waiting:
            is_taken = waiting.session_id == session_id and len(run) < self._most
            (run if is_taken else others).append(waiting)
        self._waiting = others
        return run

    async def _put_back(self, run: list[_Waiting], *, is_refused: bool) -> None:
        if is_refused:
            self._most = 1
            self._waiting += run
        else:
            self._waiting = run + self._waiting
            for waiting in run:
                waiting.is_repeated = True
        await self._clock.sleep(RETRY_S)

    async def _run(self, run: list[_Waiting]) -> SettleReply:
        """Run the script. Settling twice is harmless: what the first run settled is fenced for the second."""
        now_s = self._clock.monotonic()
        claim = run[-1].encoded.settlement.claim
        further: list[bytes] = []
        request = SettleRequest(
            session=claim.session_id,
            egress=self._egress,
            egress_pace=self._egress_pace(run),
            max_throttled_pause_ms=self._max_throttled_pause_ms,
            result_ttl_ms=self._result_ttl_ms,
            dead_letter_ttl_ms=self._dead_letter_ttl_ms,
            reckoned_now=claim.redis_ms(now_s) * 1000,
            settlements=[waiting.encoded.row(now_s, further) for waiting in run],
        )
        reply = await SETTLE.run(self._redis, keyspace_of(self._redis), [encode(request), *further])
        self._metrics.redis_call_duration.observe(self._clock.monotonic() - now_s, "settle.lua")
        return decode(SettleReply, reply)

    def _egress_pace(self, run: list[_Waiting]) -> int:
        """Return the shortest pace by which the slots of a run were taken: never more is given back than was taken."""
        paces = (waiting.encoded.settlement.claim.egress_pace_us for waiting in run)
        return min(pace or self._egress_pace_us for pace in paces)


class _Waiting:
    """A settlement that is to be written, and the future of its caller."""

    def __init__(self, encoded: EncodedSettlement) -> None:
        self.encoded = encoded
        self.session_id = encoded.settlement.claim.session_id
        self.is_repeated = False
        self.future: asyncio.Future[tuple[SettledRow, float | None]] = asyncio.get_running_loop().create_future()


def _log_failed(claim: Claim, error: str) -> None:
    extra = log_fields(Event.MALFORMED, lane=claim.lane, job=claim.job_id)
    log.error("lane %s: its settlement cannot be written, and is tried again: %s", claim.lane, error, extra=extra)
