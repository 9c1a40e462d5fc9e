"""The queue on a real server, its workers and the exchange, compared with the model after each step."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.asyncio.client import PubSub

from ops.keys import KEYS
from producers import Attempt, Producer, ProducerSettings
from producers.queue.bucket import LOOK_AHEAD_US
from tests.properties import arrivals, invariants
from tests.properties.arrivals import Request
from tests.properties.model import LANE_LIMIT, Model
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import START_US, ManualClock
from tests.support.timed_redis import TimedRedis
from worker.attempt.decide import blocked_by_rejected_keys, decide, release_unsent, validate_claim
from worker.queue.claims import Claim, EgressHealth, Finish, SentRequest, Settled, Settlement
from worker.queue.lease import Heartbeat
from worker.queue.rate import Pacing

T = TypeVar("T")

EGRESSES = ("near", "near", "far")
"""Of the workers."""

RESULT_TTL_S = 600
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=40, margin_percent=0.2)
LEASE_US = round(DEFAULTS.lease_s * 1e6)


@dataclass
class Worker:
    """One worker process: its scripts, and the claims that it has in hand."""

    egress: str
    lanes: Lanes
    heartbeat: Heartbeat
    in_hand: list[tuple[Claim, Request]] = field(default_factory=list)


class World:
    """The queue under test and everything around it."""

    def __init__(self, redis: TimedRedis, loop: asyncio.AbstractEventLoop, seen: Counter[str]) -> None:
        self.redis, self.loop, self.seen = redis, loop, seen
        self.clock = ManualClock()
        self.step_us = 0
        self.latest_us = 0
        self.epoch = 0
        self.model = Model()
        self.producer = Producer(redis, ProducerSettings(result_ttl_s=RESULT_TTL_S, lane_limit=LANE_LIMIT))
        self.workers = [
            Worker(egress, self._lanes(egress), Heartbeat(redis, self.clock, lease_s=DEFAULTS.lease_s))
            for egress in EGRESSES
        ]
        self.requests: list[Request] = []
        self.rates: dict[str, float] = {}
        self.keys: Counter[str] = Counter()
        self.dump: invariants.Dump = {}
        self.numbers = itertools.count()
        self.listener: PubSub = redis.pubsub()
        self._announced: Counter[str] = Counter()
        self.do(self._begin())

    def _lanes(self, egress: str) -> Lanes:
        changed = DEFAULTS.__class__(egress=egress, result_ttl_s=RESULT_TTL_S, dead_letter_ttl_s=10 * RESULT_TTL_S)
        return Lanes(self.redis, clock=self.clock, pacing=PACING, settings=changed)

    async def _begin(self) -> None:
        await self.redis.flushall()
        await self.redis.set_time(self.now_us)
        await self.listener.psubscribe(f"{KEYS.job_done}*", f"{KEYS.batch_complete}*")
        await self._news()

    def close(self) -> None:
        """Close the connections; report the outcomes to `seen`."""
        self.seen.update({f"ended {outcome}": number for outcome, number in self.model.outcomes.items()})
        self.do(self.listener.aclose())  # type: ignore[no-untyped-call]

    def do(self, coroutine: Awaitable[T]) -> T:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(coroutine)

    @property
    def now_us(self) -> int:
        """The time by the clock of Redis, Unix microseconds."""
        return self.clock.now_us + self.step_us

    @property
    def now_ms(self) -> int:
        """The time by the clock of Redis, Unix milliseconds."""
        return self.now_us // 1000

    # --- time ---

    def wait_until_us(self, at_us: int) -> None:
        """Let time pass until a moment of the steady clock."""
        self.clock.advance_to_us(at_us)
        self._set_time()

    def step(self, seconds: float) -> None:
        """Set the clock of Redis forward or back, and no other clock."""
        self.latest_us = max(self.latest_us, self.now_us)
        self.step_us += round(seconds * 1e6)
        self.epoch += seconds > 0
        self._set_time()

    def _set_time(self) -> None:
        self.do(self.redis.set_time(self.now_us))
        self.dump = self.do(self.redis.all_there_is())
        for batch_id in [each for each in self.model.batches if KEYS.batch + each not in self.dump]:
            assert self.model.batches.pop(batch_id).is_over, "a batch lives until all of it has ended"

    # --- work ---

    def claim(self, worker: Worker, most: int) -> float | None:
        """Let a worker claim; return after how many seconds more is due."""
        self.dump = self.do(self.redis.all_there_is())
        probing = self._probing(worker)
        claims = self.do(worker.lanes.claims(most))
        assert claims.malformed == []
        assert len(claims.claims) <= probing, "an open breaker lets one probe out at a time"
        for claim in claims.claims:
            slot_us = START_US + round(claim.slot_at_s * 1e6)
            self.model.claim(claim, self.now_us, slot_us + self.step_us + LEASE_US)
            user = claim.lane.partition(":")[0]
            request = Request(user, worker.egress, slot_us, self.rates.get(user, 10.0), self.epoch)
            assert (claim.egress_health is EgressHealth.PROBING) == (probing == 1)
            worker.in_hand.append((claim, request))
            worker.heartbeat.hold(claim)
            self.seen["claimed again after a lapsed lease"] += claim.lost_deliveries > 0
            self.seen["probed"] += claim.egress_health is EgressHealth.PROBING
            self.seen["offered to join"] += bool(claim.coalescable)
            self.requests.append(request)
        if claims.claims:
            self.after()
        return claims.next_due_s

    def _probing(self, worker: Worker) -> float:
        """Return how many claims the breaker of a worker's egress allows: none, one, or any number."""
        egress = invariants.value(self.dump, KEYS.egress + worker.egress, {})
        if b"open" not in egress:
            return math.inf
        return int(self.now_us + LOOK_AHEAD_US >= float(egress[b"probe at"]))

    def beat(self, worker: Worker) -> None:
        """Let a worker renew its leases."""
        before = {claim.token: worker.heartbeat.lease_until_s(claim) for claim, _ in worker.in_hand}
        self.do(worker.heartbeat.beat())
        for claim, _ in worker.in_hand:
            until_s = worker.heartbeat.lease_until_s(claim)
            if until_s != before[claim.token]:
                assert (until_s > 0) == self.model.holds(claim), "a lease is renewed by whom the lane belongs to"
                self.seen["renewed"] += until_s > 0
                self.seen["not renewed"] += until_s < 0
                if until_s > 0:
                    held = self.model.held[claim.lane]
                    held.until_us = max(held.until_us, self.now_us + LEASE_US)
        self.after()

    def settle(self, worker: Worker, number: int, verdict: str, *, up_ms: int, down_ms: int, lag_ms: int) -> Settled:
        """End a worker's request, or give it up unsent, and settle the claim."""
        claim, request = worker.in_hand.pop(number)
        self.seen[verdict] += 1
        worker.heartbeat.release(claim)
        if verdict == "unsent":
            request.was_made = False
            settlement = self._unsent(claim)
        else:
            request.arrived_us = request.slot_us + up_ms * 1000
            ended_us = request.arrived_us + down_ms * 1000
            self.wait_until_us(ended_us + lag_ms * 1000)
            settlement = self._sent(claim, request, verdict, ended_us)
        before = self.dump
        settled = self.do(worker.lanes.settler.settle(settlement))
        assert settled.fenced == (not self.model.holds(claim))
        self.seen["fenced"] += settled.fenced
        self.seen["ended in a group"] += settled.finished > 1
        self.seen["spared"] += isinstance(settlement, Finish) and not settled.fenced and not settled.finished
        if settled.fenced:
            self._assert_unchanged(claim, before)
        else:
            self._settled(claim, settlement, settled, sent=settlement.request is not None)
        self.after()
        return settled

    def _fingerprint(self, claim: Claim) -> str:
        user = claim.lane.partition(":")[0]
        return f"{user}-{self.keys[user]}"

    def _unsent(self, claim: Claim) -> Settlement:
        ready = validate_claim(claim, claim.redis_ms(self.clock.monotonic()))
        return ready if isinstance(ready, Finish) else release_unsent(claim)

    def _sent(self, claim: Claim, request: Request, verdict: str, ended_us: int) -> Settlement:
        sent_s, ended_s = (request.slot_us - START_US) / 1e6, (ended_us - START_US) / 1e6
        ready = validate_claim(claim, claim.redis_ms(sent_s))
        ended = (
            ready
            if isinstance(ready, Finish)
            else blocked_by_rejected_keys(ready, self._fingerprint(claim), self.now_ms)
        )
        if isinstance(ready, Finish) or ended is not None:
            self.seen["ended by its refused keys"] += not isinstance(ready, Finish)
            request.was_made = False
            return ended or release_unsent(claim)
        attempt = Attempt(
            at_ms=claim.redis_ms(sent_s),
            took_ms=round((ended_s - sent_s) * 1000),
            verdict=verdict,
            code="40006" if verdict == "credentials" else None,
        )
        took_s = None if verdict == "ambiguous" else ended_s - sent_s
        sent = SentRequest(attempt, ended_s, took_s, self._fingerprint(claim))
        return decide(ready, sent, now_ms=claim.redis_ms(ended_s), max_tries=0)

    def _settled(self, claim: Claim, settlement: Settlement, settled: Settled, *, sent: bool) -> None:
        if settled.finished:
            assert isinstance(settlement, Finish)
            for result in settlement.results:
                assert self.model.queued[claim.lane][0] == result.job_id, "changes end in the order of their lane"
                self.model.end(result.job_id, result.outcome.value)
            assert settled.finished == len(settlement.results)
        self.model.release(claim.lane, sent=sent or settled.finished > 0)

    def _assert_unchanged(self, claim: Claim, before: invariants.Dump) -> None:
        """Check that a fenced settlement changed nothing but the bucket and the egress, which count the request."""
        after = self.do(self.redis.all_there_is())
        for key in before.keys() | after.keys():
            if key != KEYS.bucket_of(claim.lane) and not key.startswith(
                (KEYS.egress, KEYS.failures, KEYS.rejected_keys, KEYS.wakeups)
            ):
                assert before.get(key, ("", 0))[0] == after.get(key, ("", 0))[0], f"a fenced settlement changed {key}"

    def lose(self, worker: Worker, *, arrives: bool) -> None:
        """Let a worker die with its claims, whose requests may still arrive at the exchange."""
        self.seen["a worker died"] += bool(worker.in_hand)
        for claim, request in worker.in_hand:
            worker.heartbeat.release(claim)
            if arrives:
                request.arrived_us = request.slot_us + 30_000
        worker.in_hand.clear()

    # --- checks after each step ---

    def after(self) -> None:
        """Compare the announcements since the last step, and all that Redis holds, with the model."""
        self.dump = self.do(self.redis.all_there_is())
        done, complete = self.do(self._news())
        self.model.announce(done)
        assert Counter(done) == self.model.ended - self._announced, "the end of each change is announced once"
        self.seen["a batch was complete"] += len(complete)
        assert complete == self.model.newly_complete(), "a batch's completion is announced once"
        self._announced += Counter(done)
        assert {KEYS.result + job_id for job_id in done} <= self.dump.keys()
        invariants.check(self.dump, self.model)

    async def _news(self) -> tuple[list[str], list[str]]:
        """Return what was announced since the last call: changes that ended, batches that are complete."""
        done: list[str] = []
        complete: list[str] = []
        await self.listener.ping()
        while True:
            message: dict[str, Any] | None = await self.listener.get_message(timeout=10)
            assert message is not None
            if message["type"] == "pong":
                return done, sorted(complete)
            if message["type"] == "pmessage":
                channel, data = message["channel"].decode(), message["data"].decode()
                (done if channel.startswith(KEYS.job_done) else complete).append(data)

    def check_pace(self) -> None:
        """Check both rate limits over all requests so far."""
        arrivals.check(self.requests, PACING)
