"""A queue driven step by step: the scripts, through the wrappers that ship, without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace
from redis.asyncio import Redis

from producers import Attempt, Outcome, Priority, SettingsChange
from producers.contract import attempt_history
from producers.contract.attempt_history import AttemptHistory
from producers.queue.bucket import StoredBucket, decode_bucket
from producers.queue.lanes import LaneScore
from producers.queue.parts import BEATS_PER_TTL
from producers.queue.slicing import slices
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.transport.clients import keyspace_of
from tests.support.changes import result
from tests.support.coverage import uncovered_lanes
from worker.attempt.decide import decide, validate_claim
from worker.clock import Clock, SystemClock
from worker.queue.claim import Claimer
from worker.queue.claims import Claim, Claims, Finish, Requeue, SentRequest, Settled
from worker.queue.rate import Pacing
from worker.queue.session import Session
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

DEFAULTS = WorkerSettings()
BEAT_S = DEFAULTS.session_ttl_s / BEATS_PER_TTL
TTL_MS = 3_600_000
MOST_HEADS = 1_000
MOST_SUBMISSIONS = 1_000
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
        self.keys = keyspace_of(redis)
        self.clock = clock or SystemClock()
        self.pacing = pacing
        self.settings = settings
        self.claimer = self.new_claimer()
        self.settler = Settler(redis, self.clock, settings, pacing)

    def new_claimer(self) -> Claimer:
        """Another worker's claimer, with a session of its own."""
        session = Session(self.redis, self.clock, self.settings, self.pacing)
        return Claimer(self.redis, self.clock, self.settings, self.pacing, session)

    async def new_session(self) -> Session:
        """Another worker's session, which is open."""
        session = self.new_claimer().session
        await session.renew()
        return session

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
        """Submit (job ID, change) in one call, or one for each 1,000, and return the script's verdicts."""
        options = SubmitOptions(lane_limit, priority, coalesce, batch_id, content)
        submissions = [
            Submission.from_change(one, job_id, options, now_ms=now_ms, ttl_ms=TTL_MS) for job_id, one in changes
        ]
        verdicts: list[int] = []
        for some in slices(submissions, MOST_SUBMISSIONS):
            call = submit(some, options)
            verdicts += (await call.script.run(self.redis, self.keys, call.args))[1:]
        return verdicts

    async def claims(self, most: int = 100, claimer: Claimer | None = None) -> Claims:
        """One call of the claim script, under a session that was just renewed."""
        claimer = claimer or self.claimer
        await claimer.session.renew()
        return await claimer.claim(most)

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
        is_egress_fault: bool = False,
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
        sent = SentRequest(attempt, now_s, round_trip_s, keys_replaced=keys_replaced, retry_after_s=retry_after_s)
        sent = replace(sent, late_until_s=late_until_s, is_egress_fault=is_egress_fault)
        return await self.settler.settle(decide(ready, sent, now_ms=now_ms, max_tries=0))

    async def due_now(self, lane: str) -> None:
        """Make a lane that waits due: end its delay, and whatever its user waits for but its bucket."""
        user, trader = lane.split(":")
        for lanes, schedule in ((self.keys.lanes, self.keys.schedule), (self.keys.bulk_lanes, self.keys.bulk_schedule)):
            score = await self.redis.zscore(lanes + user, trader)
            if score is not None and score < LaneScore.PARKED:
                await self.redis.zadd(lanes + user, {trader: 1})
                await self.redis.zadd(schedule, {user: 1})

    async def lapse(self, *claimers: Claimer) -> None:
        """Let the sessions of claimers lapse (by default that of `claimer`), while another worker renews its own.

        The lanes that they hold are taken back. Time passes on the clock of the test.
        """
        survivor = await self.new_session()
        sessions = [claimer.session for claimer in claimers or (self.claimer,)]
        ttl_s = self.settings.session_ttl_s
        for _ in range(BEATS_PER_TTL + 2):
            await self.clock.sleep(ttl_s / BEATS_PER_TTL)
            while await survivor.renew():
                pass
        for session in sessions:
            assert await self.redis.hget(self.keys.sessions, session.session_id) is None, "the session did not lapse"  # type: ignore[misc]

    async def on_bulk(self, lane: str) -> bool:
        """Whether a lane is one of its user's bulk lanes."""
        user, trader = lane.split(":")
        return await self.redis.zscore(self.keys.bulk_lanes + user, trader) is not None

    async def slot_us(self, claim: Claim) -> int:
        """When a claim may be sent: Unix microseconds, the Redis clock. Ask before it is settled."""
        held = await self.redis.hget(self.keys.held + claim.session_id, claim.lane)  # type: ignore[misc]
        assert held is not None, "the claim was settled already"
        token, slot_us, _ = held.decode().split()
        assert token == claim.token
        return int(slot_us)

    async def is_held(self, claim: Claim) -> bool:
        """Whether a claim's session still holds its lane."""
        held = await self.redis.hget(self.keys.held + claim.session_id, claim.lane)  # type: ignore[misc]
        return held is not None and held.decode().split()[0] == claim.token

    async def due_ms(self, lane: str) -> float | None:
        """Return when a lane's user is due, by the schedule of the lane's priority; None if it is not scheduled."""
        bulk = await self.on_bulk(lane)
        score: float | None = await self.redis.zscore(
            self.keys.bulk_schedule if bulk else self.keys.schedule, lane.partition(":")[0]
        )
        return score

    async def ready_ms(self, lane: str) -> float | None:
        """Return a lane's score: when it is ready, or its `LaneScore`; None if it is empty."""
        user, trader = lane.split(":")
        for lanes in (self.keys.lanes, self.keys.bulk_lanes):
            score: float | None = await self.redis.zscore(lanes + user, trader)
            if score is not None:
                return score
        return None

    async def bucket(self, user: str) -> StoredBucket:
        """Return the numbers of a user's bucket."""
        return decode_bucket(await self.redis.get(self.keys.bucket_of(user)))

    async def now_ms(self) -> float:
        """Return the time of the Redis clock, Unix milliseconds."""
        seconds, micros = await self.redis.time()
        return float(seconds * 1000 + micros / 1000)

    async def queued(self, lane: str) -> list[str]:
        """Return the job IDs of a lane, head first."""
        user, trader = lane.split(":")
        head = await self.redis.hget(self.keys.heads + user, trader)  # type: ignore[misc]
        if head is None:
            return []
        entries = [head, *await self.redis.lrange(self.keys.rest + lane, 0, -1)]  # type: ignore[misc]
        return [entry.decode().split()[-1] for entry in entries]

    async def uncovered(self) -> set[str]:
        """Return the lanes for which invariant 1 does not hold."""
        return await uncovered_lanes(self.redis)
