"""A queue driven step by step: the scripts, through the wrappers that ship, without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from ops.keys import KEYS
from producers import Attempt, Outcome, Priority, SettingsChange
from producers.contract import attempt_history
from producers.contract.attempt_history import AttemptHistory
from producers.queue.submit import Submission, SubmitOptions, submit
from tests.support.changes import result
from worker.attempt.decide import decide, validate_claim
from worker.clock import Clock, SystemClock
from worker.queue.claim import Claimer
from worker.queue.claims import Claim, Claims, Finish, Requeue, SentRequest, Settled
from worker.queue.rate import Pacing
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

DEFAULTS = WorkerSettings()
TTL_MS = 3_600_000
MOST_HEADS = 1_000
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=100, margin_percent=0.2)
UNHINDERED = Pacing.from_rates(user_rate_per_s=10_000, egress_rate_per_s=10_000, margin_percent=0)
"""Rates out of the way: for tests that are not about them."""


class Lanes:
    """One queue, and as many claimers as a test wants."""

    def __init__(
        self,
        redis: Redis,
        *,
        clock: Clock | None = None,
        pacing: Pacing = UNHINDERED,
        settings: WorkerSettings = DEFAULTS,
    ) -> None:
        self.redis = redis
        self.clock = clock or SystemClock()
        self.pacing = pacing
        self.settings = settings
        self.claimer = self.new_claimer()
        self.settler = Settler(redis, self.clock, settings, pacing)

    def new_claimer(self) -> Claimer:
        """Another worker's claimer."""
        return Claimer(self.redis, self.clock, self.settings, self.pacing)

    async def submit(
        self,
        *changes: tuple[str, SettingsChange],
        lane_limit: int = 1000,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
        batch_id: str = "",
        content: str = "",
        now_ms: int = 1_000,
    ) -> list[int]:
        """Submit (job ID, change) in one call and return the script's verdicts."""
        options = SubmitOptions(lane_limit, priority, coalesce, batch_id, content)
        submissions = [
            Submission.from_change(one, job_id, options, now_ms=now_ms, ttl_ms=TTL_MS) for job_id, one in changes
        ]
        call = submit(submissions, options)
        reply = await call.script.run(self.redis, KEYS, call.args)
        return list(reply[1:])

    async def claims(self, most: int = 100, claimer: Claimer | None = None) -> Claims:
        """One call of the claim script."""
        return await (claimer or self.claimer).claim(most)

    async def claim(self, most: int = 100) -> list[Claim]:
        """Return the claims of one call."""
        return (await self.claims(most)).claims

    async def claim_one(self) -> Claim:
        """Return the only claim of one call."""
        (only,) = await self.claim()
        return only

    async def heads(self) -> AsyncIterator[Claim]:
        """Claims one after the other, each to be settled before the next, until nothing is due."""
        for _ in range(MOST_HEADS):
            claims = await self.claim(1)
            if not claims:
                return
            yield claims[0]
        raise AssertionError("the lanes do not get empty")

    async def done(
        self, claim: Claim, outcome: Outcome = Outcome.APPLIED, *, took_s: float | None = None, **changed: Any
    ) -> Settled:
        """End a claim's change; `took_s` is the round trip of its request, whose reply came just now."""
        ended = result(claim.job_id, outcome, **changed)
        request = None if took_s is None else self.request(claim, took_s)
        return await self.settler.settle(Finish(claim=claim, results=(ended,), request=request))

    async def back(
        self, claim: Claim, delay_s: float = 0, *, hold_s: float = 0, replied: bool = True, tries: int = 1
    ) -> Settled:
        """Put a claim's lane back after a request that failed just now, or was never made."""
        history = attempt_history.encode(AttemptHistory(tries=tries))
        request = self.request(claim, None, "throttled" if hold_s else "failing") if replied else None
        requeue = Requeue(
            claim=claim, history=history, reason="a test's", request=request, delay_s=delay_s, hold_s=hold_s
        )
        return await self.settler.settle(requeue)

    def request(self, claim: Claim, took_s: float | None, failure_kind: str | None = None) -> SentRequest:
        """Return the report of a request of a claim that ended just now."""
        attempt = Attempt(at_ms=0, took_ms=0, verdict="success")
        mark = claim.rejected_keys_mark
        now_s = self.clock.monotonic()
        return SentRequest(attempt, now_s, took_s, failure_kind=failure_kind, rejected_keys_mark=mark)

    async def attempt(
        self,
        claim: Claim,
        verdict: str = "success",
        *,
        keys_replaced: bool = False,
        retry_after_s: float | None = None,
        late_for_s: float = 0.0,
        **changed: Any,
    ) -> Settled:
        """Return the settlement of a claim whose request took 20 ms and just got this verdict.

        With `late_for_s`, no reply came, and the request may still be applied for so long.
        """
        now_s = self.clock.monotonic()
        now_ms = claim.redis_ms(now_s)
        ready = validate_claim(claim, now_ms)
        if isinstance(ready, Finish):
            return await self.settler.settle(ready)
        attempt = Attempt(at_ms=now_ms, took_ms=20, verdict=verdict, **changed)
        round_trip_s, late_until_s = (None, now_s + late_for_s) if late_for_s else (0.02, 0.0)
        sent = SentRequest(
            attempt,
            now_s,
            round_trip_s,
            keys_replaced=keys_replaced,
            retry_after_s=retry_after_s,
            late_until_s=late_until_s,
        )
        return await self.settler.settle(decide(ready, sent, now_ms=now_ms, max_tries=0))

    async def due_now(self, lane: str) -> None:
        """Make a lane due: end its delay, or the lease of its worker."""
        for schedule in (KEYS.schedule, KEYS.bulk_schedule):
            await self.redis.zadd(schedule, {lane: 1}, xx=True)

    async def on_bulk(self, lane: str) -> bool:
        """Whether a lane is on the bulk schedule."""
        return await self.redis.zscore(KEYS.bulk_schedule, lane) is not None

    async def slot_us(self, claim: Claim) -> int:
        """When a claim may be sent: Unix microseconds, the Redis clock. Ask before it is settled."""
        entry = str(claim.slot_number % self.pacing.per_window)
        stored = await self.redis.hget(KEYS.bucket_of(claim.lane), entry)  # type: ignore[misc]
        assert stored is not None
        slot = -int(float(stored))
        assert slot > 0, "the claim was settled already"
        return slot

    async def due_ms(self, lane: str) -> float | None:
        """Return a lane's score in the schedule."""
        score: float | None = await self.redis.zscore(KEYS.schedule, lane)
        return score

    async def now_ms(self) -> float:
        """Return the time of the Redis clock, Unix milliseconds."""
        seconds, micros = await self.redis.time()
        return float(seconds * 1000 + micros / 1000)

    async def queued(self, lane: str) -> list[str]:
        """Return the job IDs of a lane, head first."""
        return [entry.decode() for entry in await self.redis.lrange(KEYS.lane + lane, 0, -1)]  # type: ignore[misc]

    async def uncovered(self) -> set[str]:
        """Lanes that hold changes and are not on the schedule, or the other way round; invariant 1 says none."""
        schedules = [await self.redis.zrange(key, 0, -1) for key in (KEYS.schedule, KEYS.bulk_schedule, KEYS.lanes)]
        interactive, bulk, known = ({lane.decode() for lane in lanes} for lanes in schedules)
        assert not interactive & bulk, "a lane is on both schedules"
        assert known == interactive | bulk, "the index of lanes is another"
        scheduled = interactive | bulk
        filled = {key.decode().removeprefix(KEYS.lane) async for key in self.redis.scan_iter(KEYS.lane + "*")}
        return scheduled ^ filled


_READ: dict[str, tuple[Any, ...]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}


async def contents(redis: Redis) -> dict[str, Any]:
    """All that Redis holds, and whether it will expire."""
    names = [key async for key in redis.scan_iter("*")]
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
        kinds = [kind.decode() for kind in await pipe.execute()]
        for name, kind in zip(names, kinds, strict=True):
            command, *rest = _READ[kind]
            pipe.execute_command(command, name, *rest)
            pipe.pttl(name)
        replies = await pipe.execute()
    return {
        name.decode(): (kind, value, ttl_ms >= 0)
        for name, kind, value, ttl_ms in zip(names, kinds, replies[::2], replies[1::2], strict=True)
    }
