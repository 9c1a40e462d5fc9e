"""The lane loop: claim what is due, start its attempts, sleep until something can be done.

It wakes when a lane comes due that it knows of, when the bell rings (somebody submitted), when an attempt ends while
all hands are full, and every few seconds in any case, so that nothing depends on a wake-up that got lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import cast

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.transport.cancellation import cancel_and_wait
from worker.attempt.attempt import AttemptRunner
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.queue.claim import Claimer
from worker.queue.claims import Claim, MalformedLane, Settled
from worker.queue.redis_retry import retry_until_up
from worker.settings import WorkerSettings

CLAIM_BATCH_SIZE = 100
LOOK_ANYWAY_S = 3
"""An idle worker looks this often without being told. A dead worker's lanes are noticed by it."""

REFILL_DELAY_S = 0.005
"""With all hands full, freed ones are gathered for so long and then filled in one trip."""

QUARANTINE_AFTER = 3
"""As in claim.lua: from so many lapses on, a head is suspected of killing its workers."""

SEND_MARGIN_S = 0.5
"""What is left of a claim's time to be sent after others were waited for."""

ERROR_PAUSE_S = 1.0
MOST_REPORTED = 1000

log = logging.getLogger(__name__)


class Dispatcher:
    """Claims lanes and runs their attempts, at most `max_jobs` at once."""

    def __init__(
        self,
        *,
        redis: Redis,
        claimer: Claimer,
        attempt_runner: AttemptRunner,
        clock: Clock,
        settings: WorkerSettings,
        tasks: dict[str, asyncio.Task[None]],
        on_settled: Callable[[Settled], None],
    ) -> None:
        """Makes a loop that is not running yet.

        Args:
            redis: for the bell and the schedule.
            claimer: takes heads.
            attempt_runner: attempts them.
            clock: measures.
            settings: how many attempts may be in hand, and how long Redis may take.
            tasks: where running attempts are kept while they run, by token; the worker waits for them when it stops.
            on_settled: called with every settlement.
        """
        self._redis = redis
        self._claimer = claimer
        self._applier = attempt_runner
        self._clock = clock
        self._max_jobs = settings.max_jobs
        self._request_timeout_s = settings.request_timeout_s
        # A pop that waits longer than an answer may take would look like a Redis that is away.
        self._listen_s = min(LOOK_ANYWAY_S, settings.redis_timeout_s / 2)
        self._tasks = tasks
        self._on_settled = on_settled
        self._in_hand = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._due_at_s = 0.0
        self._stopping = False
        self._reported: set[MalformedLane] = set()
        self._unreadable_lanes: set[str] = set()

    async def run(self) -> None:
        """Drains lanes until stopped."""
        bell = asyncio.create_task(self._listen(), name="copytrade bell")
        try:
            while not self._stopping:
                try:
                    await self._claim_once()
                except Exception:
                    log.exception("the lane loop stumbled; it goes on")
                    await self._clock.sleep(ERROR_PAUSE_S)
            await retry_until_up(self.wake_other_worker)
        finally:
            await cancel_and_wait(bell)

    def stop(self) -> None:
        """Claims nothing more and gives back what waits for its slot; what is under way goes on to its end."""
        self._stopping = True
        self._applier.stop()
        self._wake.set()

    async def until_empty(self) -> None:
        """Returns when nothing is in hand, and no lane is scheduled but those that nobody can read."""
        while self._in_hand or await retry_until_up(self._scheduled) > len(self._unreadable_lanes):
            await self._clock.sleep(REFILL_DELAY_S * 4)

    async def _scheduled(self) -> int:
        """How many lanes are scheduled, of either priority."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcard(keyspace.SCHEDULE)
            pipe.zcard(keyspace.BULK_SCHEDULE)
            return sum(await pipe.execute())

    async def wake_other_worker(self) -> None:
        """Rings for another worker: what comes due here, it must look for itself."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(keyspace.BELL, "1")
            pipe.ltrim(keyspace.BELL, 0, 0)
            await pipe.execute()

    async def _claim_once(self) -> None:
        self._wake.clear()
        room = self._max_jobs - self._in_hand
        if room <= 0:
            self._room.clear()
            await retry_until_up(self.wake_other_worker)
            await self._room.wait()
            await self._clock.sleep(REFILL_DELAY_S)
            return
        self._due_at_s = math.inf  # what settles while the claim is under way may bring it forward
        claims = await retry_until_up(lambda: self._claimer.claim(min(room, CLAIM_BATCH_SIZE)))
        for claim in claims.claims:
            if claim.lost_deliveries >= QUARANTINE_AFTER:
                await self._start_alone(claim)
            else:
                self._start(claim)
        self._report(claims.malformed)
        if claims.next_due_s is not None:
            self._due_at_s = min(self._due_at_s, self._clock.monotonic() + claims.next_due_s)
        await self._sleep()

    async def _sleep(self) -> None:
        wait_s = min(self._due_at_s - self._clock.monotonic(), LOOK_ANYWAY_S)
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _wake_at(self, due_in_s: float) -> None:
        """A lane is due then: be awake."""
        due_at_s = self._clock.monotonic() + due_in_s
        if due_at_s < self._due_at_s:
            self._due_at_s = due_at_s
            self._wake.set()

    def _start(self, claim: Claim) -> None:
        self._in_hand += 1
        self._unreadable_lanes.discard(claim.lane)
        self._tasks[claim.token] = asyncio.create_task(self._attempt(claim), name=f"copytrade {claim.job_id}")

    async def _start_alone(self, claim: Claim) -> None:
        """Attempts what several workers were lost with, while nothing else is in hand: others must not die with it.

        Unless those take so long that its own time would be over.
        """
        self._applier.hold_lease(claim)
        if running := {task for task in self._tasks.values() if not task.done()}:
            left_s = claim.lease_until_s - self._request_timeout_s - SEND_MARGIN_S - self._clock.monotonic()
            await asyncio.wait(running, timeout=max(0.0, left_s))
        self._start(claim)
        await asyncio.wait({self._tasks[claim.token]})

    async def _attempt(self, claim: Claim) -> None:
        try:
            settled = await self._applier.run(claim)
        except asyncio.CancelledError:
            told = log_fields(Event.ATTEMPT_CANCELLED, lane=claim.lane, job=claim.job_id)
            log.warning("lane %s: stopped in mid-attempt; it comes due when its lease ends", claim.lane, extra=told)
        except Exception:
            told = log_fields(Event.ATTEMPT_ERROR, lane=claim.lane, job=claim.job_id)
            log.exception("lane %s: the attempt broke; it comes due when its lease ends", claim.lane, extra=told)
        else:
            self._on_settled(settled)
            if settled.due_in_s is not None:
                self._wake_at(settled.due_in_s)
                if self._stopping:
                    await retry_until_up(self.wake_other_worker)
        finally:
            self._in_hand -= 1
            del self._tasks[claim.token]
            self._room.set()

    async def _listen(self) -> None:
        while not self._stopping:
            await self._room.wait()  # with all hands full, the bell is for another worker
            if await retry_until_up(self._ring):
                self._wake.set()

    async def _ring(self) -> bool:
        """Whether the bell rang before the time to look anyway."""
        # redis-py types a blocking pop for both its clients at once
        pop = self._redis.blpop([keyspace.BELL], self._listen_s)  # type: ignore[arg-type]  # Redis 6 takes a float
        return await cast("Awaitable[object]", pop) is not None

    def _report(self, found: list[MalformedLane]) -> None:
        """Each once, as long as there are not too many to remember."""
        self._unreadable_lanes.update(unreadable.lane for unreadable in found if unreadable.scheduled)
        for unreadable in found:
            if unreadable not in self._reported and len(self._reported) < MOST_REPORTED:
                self._reported.add(unreadable)
                told = log_fields(Event.UNREADABLE, lane=unreadable.lane)
                log.error("lane %s: %s", unreadable.lane, unreadable.done, extra=told)
