"""The dispatcher: claim due lanes, start their attempts, sleep until there is work again.

It wakes up when the next scheduled lane is due, when a wake-up arrives (wakeups.py), when an attempt ends while all
slots are taken, and at least every `MAX_IDLE_S`, if a wake-up is lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from redis.asyncio import Redis

from producers.contract.keyspace import escape
from producers.transport.cancellation import cancel_and_wait
from producers.transport.clients import keyspace_of
from producers.transport.commands import HKEYS, HLEN, ZRANGE
from producers.transport.plan import Transaction
from producers.transport.runner import execute
from worker.attempt.attempt import AttemptRunner
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.process.wakeups import Wakeups
from worker.queue.claim import QUARANTINE_AFTER, Claimer
from worker.queue.claims import Claim, MalformedEntry, Settled
from worker.queue.redis_retry import RedisAvailability
from worker.settings import WorkerSettings

CLAIM_BATCH_SIZE = 100
MAX_IDLE_S = 3
"""An idle worker claims at least this often, if a wake-up is lost."""

REFILL_DELAY_S = 0.005
"""Pause before claiming when a slot becomes free again, so that one claim fills several slots."""

ERROR_PAUSE_S = 1.0
MAX_MALFORMED = 1000
"""Malformed entries that are remembered. Others are not logged, and do not let a burst end."""

CLOCK_ROW = b"clock"
"""The row of the table of sessions that is none (session.lua)."""

log = logging.getLogger(__name__)


class Dispatcher:
    """Claims lanes and runs their attempts, at most `max_jobs` at once."""

    def __init__(
        self,
        *,
        redis: Redis,
        availability: RedisAvailability,
        claimer: Claimer,
        attempt_runner: AttemptRunner,
        clock: Clock,
        settings: WorkerSettings,
        tasks: dict[str, asyncio.Task[None]],
        on_settled: Callable[[Settled], None],
    ) -> None:
        """Create a dispatcher; `run` starts it.

        `tasks` receives the running attempts, by token: arq waits for these tasks when it stops. `on_settled` is called
        with every settlement.
        """
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._pin = f":{escape(settings.egress)}"
        self._availability = availability
        self._claimer = claimer
        self._attempt_runner = attempt_runner
        self._clock = clock
        self._max_jobs = settings.max_jobs
        # A wait must end before redis-py's socket timeout, which is treated as an outage of Redis.
        self._wakeups = Wakeups(redis, settings.egress, min(MAX_IDLE_S, settings.redis_timeout_s / 2))
        self._tasks = tasks
        self._on_settled = on_settled
        self._in_flight = 0
        self._wakeup = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._slot_free.set()
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
            await cancel_and_wait(watcher)

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
        """Return whether nothing is left to do; forget the unreadable users that are not scheduled."""
        keys, known = self._keys, len(self._unreadable)  # one more is read, so that another user is among them
        names = [f"{key}{pin}" for key in (keys.schedule, keys.bulk_schedule) for pin in ("", self._pin)]
        sessions = [name for name in await execute(self._redis, HKEYS(keys.sessions)) if name != CLOCK_ROW]
        in_schedules = Transaction(*[ZRANGE(name, 0, known) for name in names])
        in_flight = Transaction(*[HLEN(keys.held + name.decode()) for name in sessions])
        # All of one moment: else a lane could pass from a session to the schedule, or back, between two reads.
        moment = Transaction(in_schedules, in_flight, HKEYS(keys.sessions))
        schedules, held, sessions_now = await execute(self._redis, moment)
        if set(sessions_now) - {CLOCK_ROW, *sessions}:
            return False  # another worker began meanwhile
        scheduled = {user.decode(errors="backslashreplace") for users in schedules for user in users}
        if max(map(len, schedules)) <= known:  # else there may be more
            self._unreadable &= scheduled
        return scheduled <= self._unreadable and not any(held)

    async def wake_other_worker(self) -> None:
        """Wake another worker, which claims what becomes due while this one cannot."""
        # A worker that stops does not know whose changes it puts back.
        await self._wakeups.wake_other(has_pinned=self._has_pinned or self._stopping)

    async def _claim_once(self) -> None:
        """Claim due lanes and start their attempts, then sleep; or wait for a free slot."""
        self._wakeup.clear()
        free = self._max_jobs - self._in_flight
        if free <= 0:
            self._slot_free.clear()
            await self._availability.retry_until_up(self.wake_other_worker, "waking other workers")
            await self._slot_free.wait()
            await self._clock.sleep(REFILL_DELAY_S)
            return
        self._next_due_s = math.inf  # an attempt that is settled during the claim may set it earlier
        await self._claimer.session.wait_until_trusted()
        limit = min(free, CLAIM_BATCH_SIZE)
        claims = await self._availability.retry_until_up(lambda: self._claimer.claim(limit), "claims")
        self._has_pinned = claims.has_pinned
        for claim in claims.claims:
            if claim.lost_deliveries >= QUARANTINE_AFTER:
                await self._run_quarantined(claim)
            else:
                self._start(claim)
        self._log_malformed(claims.malformed)
        if self._wakeups.set_blocked(is_blocked=claims.is_blocked):
            await self._availability.retry_until_up(self._wakeups.tell_others, "waking other workers")
        if claims.next_due_s is not None:
            self._next_due_s = min(self._next_due_s, self._clock.monotonic() + claims.next_due_s)
        await self._sleep()

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
        if running := {task for task in self._tasks.values() if not task.done()}:
            await asyncio.wait(running)
        self._start(claim)
        await asyncio.wait({self._tasks[f"{claim.session_id}.{claim.token}"]})

    async def _attempt(self, claim: Claim, name: str) -> None:
        try:
            settled = await self._attempt_runner.run(claim)
        except asyncio.CancelledError:
            extra = log_fields(Event.ATTEMPT_CANCELLED, lane=claim.lane, job=claim.job_id)
            log.warning("lane %s: attempt cancelled; the lane is due when the session ends", claim.lane, extra=extra)
        except Exception:
            extra = log_fields(Event.ATTEMPT_ERROR, lane=claim.lane, job=claim.job_id)
            log.exception("lane %s: unexpected error; the lane is due when the session ends", claim.lane, extra=extra)
        else:
            self._on_settled(settled)
            if settled.next_due_s is not None:
                self._wake_at(settled.next_due_s)
                if self._stopping:
                    await self._availability.retry_until_up(self.wake_other_worker, "waking other workers")
        finally:
            self._in_flight -= 1
            del self._tasks[name]
            self._slot_free.set()

    async def _watch_wakeups(self) -> None:
        while not self._stopping:
            await self._slot_free.wait()  # without a free slot, leave the wakeup to another worker
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
