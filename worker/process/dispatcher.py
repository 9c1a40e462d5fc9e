"""The dispatcher: claim due lanes, start their attempts, sleep until there is work again.

It wakes up when the next scheduled lane is due, when a wake-up arrives (wakeups.py), when an attempt ends while all
slots are taken, and at least every `MAX_IDLE_S`, if a wake-up is lost.
"""

from __future__ import annotations

import asyncio
import logging
import math

from redis.asyncio import Redis

from producers.transport.cancellation import cancel_and_wait
from worker.attempt.attempt import AttemptRunner
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.process.drained import is_drained
from worker.process.shared import Shared
from worker.process.wakeups import Wakeups
from worker.queue.claim import QUARANTINE_AFTER, Claimer
from worker.queue.claims import Claim, Claims, MalformedEntry
from worker.queue.redis_retry import RedisAvailability
from worker.settings import WorkerSettings

MAX_IDLE_S = 3
"""An idle worker claims at least this often, if a wake-up is lost."""

REFILL_DELAY_S = 0.005
"""Pause before claiming when a place becomes free again, so that one claim fills several places."""

ERROR_PAUSE_S = 1.0
MAX_MALFORMED = 1000
"""Malformed entries that are remembered. Others are not logged, and do not let a burst end."""

log = logging.getLogger(__name__)


class Dispatcher:
    """Claims lanes of one shard and runs their attempts, at most `max_jobs` at once over all shards of the worker."""

    def __init__(
        self,
        *,
        redis: Redis,
        availability: RedisAvailability,
        claimer: Claimer,
        attempt_runner: AttemptRunner,
        clock: Clock,
        settings: WorkerSettings,
        shared: Shared,
        shard: int = 0,
    ) -> None:
        """Create a dispatcher for a shard, by its number; `run` starts it."""
        self._redis = redis
        self._egress = settings.egress
        self._availability = availability
        self._claimer = claimer
        self._attempt_runner = attempt_runner
        self._clock = clock
        self._hand = shared.hand
        self._place = self._hand.place()
        self._shard = shard
        self._block = shared.block
        self._block.on_change(self.wake)
        # A wait must end before redis-py's socket timeout, which is treated as an outage of Redis.
        self._wakeups = Wakeups(redis, settings.egress, min(MAX_IDLE_S, settings.redis_timeout_s / 2))
        self._tasks = shared.tasks
        self._on_settled = shared.on_settled
        self._in_flight = 0
        self._wakeup = asyncio.Event()
        self._next_due_s = 0.0
        self._has_pinned = False
        self._stopping = False
        self._logged: set[MalformedEntry] = set()
        self._unreadable: set[str] = set()

    async def run(self) -> None:
        """Dispatch until `stop` is called."""
        watcher = asyncio.create_task(self._watch_wakeups(), name="copytrade wakeups")
        try:
            while not self._stopping:
                try:
                    await self._claim_once()
                except Exception:
                    log.exception(
                        "unexpected error in the dispatcher; it continues", extra=log_fields(Event.INTERNAL_ERROR)
                    )
                    await self._clock.sleep(ERROR_PAUSE_S)
            await self._availability.retry_until_up(self.wake_other_worker, "waking other workers")
        finally:
            self._place.leave()
            await cancel_and_wait(watcher)

    def wake(self) -> None:
        """Claim at once."""
        self._wakeup.set()

    def stop(self) -> None:
        """Claim nothing more, and requeue the lanes that wait for their slot. Requests that were sent are completed."""
        self._stopping = True
        self._attempt_runner.stop()
        self._wakeup.set()

    @property
    def in_flight(self) -> int:
        """The number of attempts in hand."""
        return self._in_flight

    async def wait_until_drained(self) -> None:
        """Wait until no session has anything in flight, and the schedules contain only unreadable users."""
        while self._in_flight or not await self._availability.retry_until_up(self._is_drained, "counting users"):
            await self._clock.sleep(REFILL_DELAY_S * 4)

    async def _is_drained(self) -> bool:
        return await is_drained(self._redis, self._egress, self._unreadable)

    async def wake_other_worker(self) -> None:
        """Wake another worker, which claims what becomes due while this one cannot."""
        # A worker that stops does not know whose changes it puts back.
        await self._wakeups.wake_other(has_pinned=self._has_pinned or self._stopping)

    async def _claim_once(self) -> None:
        """Claim due lanes and start their attempts, then sleep; or wait for a free slot."""
        self._wakeup.clear()
        self._next_due_s = math.inf  # an attempt that is settled during the claim may set it earlier
        if self._block.stops(self._shard):
            self._place.leave()
            await self._set_blocked(is_blocked=True)
            await self._sleep()
            return
        session = self._claimer.session
        if not session.is_trusted(session.session_id):
            self._stand_aside()
            await session.wait_until_trusted()
        claims = await self._availability.retry_until_up(self._claim, "claims")
        if claims is None:
            await self._availability.retry_until_up(self.wake_other_worker, "waking other workers")
            await self._place.wait_turn()
            await self._clock.sleep(REFILL_DELAY_S)
            return
        self._has_pinned = claims.has_pinned
        for claim in claims.claims:
            if claim.lost_deliveries >= QUARANTINE_AFTER:
                await self._run_quarantined(claim)
            else:
                self._start(claim)
        self._log_malformed(claims.malformed)
        self._block.set(self._shard, is_blocked=claims.is_blocked, has_probe=not claims.lacks_probe)
        await self._set_blocked(is_blocked=claims.is_blocked)
        if claims.next_due_s is not None:
            self._next_due_s = min(self._next_due_s, self._clock.monotonic() + claims.next_due_s)
        await self._sleep()

    async def _claim(self) -> Claims | None:
        """Claim as many lanes as may be in hand; return None if none may be, or it is another shard's turn."""
        reserved = self._place.reserve()
        if not reserved:
            return None
        claimed = 0
        try:
            claims = await self._claimer.claim(reserved)
            claimed = len(claims.claims)
        except Exception:
            self._stand_aside()
            raise
        finally:
            self._hand.release(reserved - claimed)
        return claims

    def _stand_aside(self) -> None:
        """Hold up no other shard while this one cannot claim: neither in the line, nor by probes that do not come."""
        self._place.leave()
        self._block.set(self._shard, is_blocked=False, has_probe=False)

    async def _set_blocked(self, *, is_blocked: bool) -> None:
        if self._wakeups.set_blocked(is_blocked=is_blocked):
            await self._availability.retry_until_up(self._wakeups.tell_others, "waking other workers")

    async def _sleep(self) -> None:
        wait_s = min(self._next_due_s - self._clock.monotonic(), MAX_IDLE_S)
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._wakeup.wait()
        except TimeoutError:
            return

    def _wake_at(self, due_in_s: float) -> None:
        """End the sleep at the latest in `due_in_s` seconds, when a lane is due."""
        due_s = self._clock.monotonic() + due_in_s
        if due_s < self._next_due_s:
            self._next_due_s = due_s
            self._wakeup.set()

    def _start(self, claim: Claim) -> None:
        self._in_flight += 1
        self._unreadable.discard(claim.lane.partition(":")[0])
        name = f"{claim.session_id}.{claim.token}"
        self._tasks[name] = asyncio.create_task(self._attempt(claim, name), name=f"copytrade {claim.job_id}")

    async def _run_quarantined(self, claim: Claim) -> None:
        """Run an attempt alone: if the change kills this worker too, no other attempt is lost with it."""
        async with self._hand.alone():
            if running := {task for task in self._tasks.values() if not task.done()}:
                await asyncio.wait(running)
            self._start(claim)
            await asyncio.wait({self._tasks[f"{claim.session_id}.{claim.token}"]})

    async def _attempt(self, claim: Claim, name: str) -> None:
        try:
            settled = await self._attempt_runner.run(claim)
        except asyncio.CancelledError:
            extra = log_fields(Event.ATTEMPT_CANCELLED, lane=claim.lane, job=claim.job_id)
            log.warning("lane %s: attempt cancelled; the lane is due when its session lapses", claim.lane, extra=extra)
        except Exception:
            extra = log_fields(Event.ATTEMPT_ERROR, lane=claim.lane, job=claim.job_id)
            log.exception("lane %s: unexpected error; the lane is due when its session lapses", claim.lane, extra=extra)
        else:
            self._on_settled(settled)
            if settled.next_due_s is not None:
                self._wake_at(settled.next_due_s)
                if self._stopping:
                    await self._availability.retry_until_up(self.wake_other_worker, "waking other workers")
        finally:
            self._in_flight -= 1
            del self._tasks[name]
            self._hand.release()

    async def _watch_wakeups(self) -> None:
        while not self._stopping:
            await self._hand.wait_free()  # without a free place, leave the wakeup to another worker
            if await self._availability.retry_until_up(self._wakeups.wait, "wake-ups"):
                self._wakeup.set()

    def _log_malformed(self, found: list[MalformedEntry]) -> None:
        """Log each malformed entry once, up to a number of them."""
        for malformed in found:
            if malformed.postponed and len(self._unreadable) < MAX_MALFORMED:
                self._unreadable.add(malformed.name)
            if malformed not in self._logged and len(self._logged) < MAX_MALFORMED:
                self._logged.add(malformed)
                extra = log_fields(Event.MALFORMED, lane=malformed.name)
                log.error("lane %s: %s", malformed.name, malformed.done, extra=extra)
