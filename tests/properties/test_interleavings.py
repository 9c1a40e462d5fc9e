"""The three scripts together, in thousands of random steps, beside a model of what must hold after each of them.

Time is the test's. Requests take their way to a model of the exchange and back; some workers die, some are slow, some
give back what they did not send.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from arq.connections import ArqRedis

from producers import Outcome
from producers.contract import keyspace
from producers.contract.codec import decode_result
from tests.support.changes import change, result
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import START_US, ManualClock
from worker.queue.claims import Claim, Settlement
from worker.queue.rate import Pacing

STEPS = 2_000
USERS = ("1", "1:2", "3")
TRADERS = ("a", "a:b", "c", "d")
LANE_LIMIT = 12
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=25, margin_percent=0.2)
LEASE_US = round(DEFAULTS.lease_s * 1e6)
EXCHANGE_WINDOW_US = 1_000_000
ONE_WAY_US = (10_000, 10_000, 10_000, 30_000)
"""Each way has a floor, and now and then a delay: what the guard is there for."""


@dataclass(order=True)
class UnderWay:
    """A claim in some worker's hands, and what that worker will do with it."""

    settled_at_us: int
    number: int
    claim: Claim = field(compare=False)
    fate: str = field(compare=False)
    replied_at_us: int | None = field(compare=False)
    round_trip_us: int | None = field(compare=False)


@dataclass
class LaneModel:
    """What a lane must look like."""

    queued: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    token: str = ""
    held_until_us: int = 0
    arrived: list[str] = field(default_factory=list)


class World:
    """The queue, its workers, the exchange, and the model."""

    def __init__(self, redis: ArqRedis, clock: ManualClock, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self.clock = clock
        self.lanes = Lanes(redis, clock=clock, pacing=PACING)
        self.claimers = [self.lanes.new_claimer() for _ in range(3)]
        self.model: dict[str, LaneModel] = defaultdict(LaneModel)
        self.known: list[str] = []
        self.outcomes: dict[str, str] = {}
        self.under_way: list[UnderWay] = []
        self.slots_us: list[int] = []
        self.arrivals_us: dict[str, list[int]] = defaultdict(list)
        self.numbers = itertools.count()
        self.fates: dict[str, int] = defaultdict(int)

    async def submit(self) -> None:
        """A chunk of changes, some with IDs that are already known."""
        chunk = []
        expected = []
        for _ in range(self.random.randint(1, 4)):
            user, trader = self.random.choice(USERS), self.random.choice(TRADERS)
            lane = self.model[keyspace.lane(user, trader)]
            again = bool(self.known) and self.random.random() < 0.1
            job_id = self.random.choice(self.known) if again else f"j{next(self.numbers)}"
            chunk.append((job_id, change(user, trader)))
            if again:
                expected.append(0)
            elif len(lane.queued) >= LANE_LIMIT:
                expected.append(-1)
            else:
                lane.queued.append(job_id)
                lane.accepted.append(job_id)
                self.known.append(job_id)
                expected.append(len(lane.queued))
        assert await self.lanes.submit(*chunk, lane_limit=LANE_LIMIT) == expected

    async def claim(self) -> float | None:
        """One worker asks; returns after how many seconds it may ask again."""
        claims = await self.lanes.claims(self.random.randint(1, 5), self.random.choice(self.claimers))
        assert claims.malformed == []
        for claim in claims.claims:
            lane = self.model[claim.lane]
            assert lane.queued[0] == claim.job_id, "only a head may be claimed"
            assert self.clock.now_us >= lane.held_until_us - 1_000, "a lane is held by one until its lease ends"
            slot_us = START_US + round(claim.slot_at_s * 1_000_000)
            lane.token, lane.held_until_us = claim.token, slot_us + LEASE_US
            self._go(claim, slot_us)
        return claims.next_due_s

    def _go(self, claim: Claim, slot_us: int) -> None:
        """Decides what happens to a claim, and lets its request arrive."""
        fates = ("done", "back", "throttled", "no reply", "unsent", "late", "lost")
        (fate,) = self.random.choices(fates, (60, 10, 4, 6, 6, 7, 7))
        self.fates[fate] += 1
        up_us, down_us = self.random.choice(ONE_WAY_US), self.random.choice(ONE_WAY_US)
        sent_us = slot_us + self.random.choice((0, 300, 3_000))
        replied_us: int | None = sent_us + up_us + down_us
        round_trip_us: int | None = up_us + down_us
        settled_us = sent_us + up_us + down_us + self.random.choice((0, 500, 20_000))
        match fate:
            case "unsent":
                replied_us = round_trip_us = None
            case "no reply":
                settled_us = replied_us = sent_us + round(DEFAULTS.request_timeout_s * 1e6)
                round_trip_us = None
            case "late":
                settled_us = slot_us + LEASE_US + self.random.choice((0, 500_000, 4_000_000))
        if fate != "unsent":  # whose slot is given back
            self.slots_us.append(slot_us)
            self.model[claim.lane].arrived.append(claim.job_id)
            self.arrivals_us[claim.lane.partition(":")[0]].append(sent_us + up_us)
        if fate != "lost":
            heapq.heappush(
                self.under_way, UnderWay(settled_us, next(self.numbers), claim, fate, replied_us, round_trip_us)
            )

    async def settle(self) -> None:
        """The attempt that ends next is settled, whoever holds its lane by then."""
        if not self.under_way:
            return
        ended = heapq.heappop(self.under_way)
        self.clock.advance_to_us(ended.settled_at_us)
        claim, lane = ended.claim, self.model[ended.claim.lane]
        finished = ended.fate in ("done", "late")
        outcome = self.random.choice((Outcome.APPLIED, Outcome.REJECTED))
        settled = await self.lanes.settler.settle(
            Settlement(
                claim,
                None if ended.replied_at_us is None else (ended.replied_at_us - START_US) / 1e6,
                None if ended.round_trip_us is None else ended.round_trip_us / 1e6,
                result=result(claim.job_id, outcome, message=claim.token) if finished else None,
                delay_s=self.random.choice((0, 0.1, 2)),
                hold_s=1 if ended.fate == "throttled" else 0,
            )
        )
        assert settled.fenced == (lane.token != claim.token), "a settlement counts if the lane is still the claim's"
        if settled.fenced:
            self.fates["fenced"] += 1
            return
        lane.token, lane.held_until_us = "", 0
        if finished:
            assert claim.job_id not in self.outcomes, "a change ends once"
            self.outcomes[claim.job_id] = claim.token
            assert lane.queued.pop(0) == claim.job_id

    async def check(self) -> None:
        """Invariants of Redis as it is now."""
        assert await self.lanes.uncovered() == set()
        for name, lane in self.model.items():
            assert await self.lanes.queued(name) == lane.queued

    def most_wait_us(self) -> int:
        """How long nothing may happen although changes are queued."""
        return LEASE_US + PACING.window_us + 5_000_000

    async def run(self, steps: int) -> None:
        """Random steps, then until everything has ended."""
        for step in range(steps):
            kind = self.random.choices(("submit", "claim", "settle", "wait"), (20, 40, 30, 10))[0]
            match kind:
                case "submit":
                    await self.submit()
                case "claim":
                    await self.claim()
                case "settle":
                    await self.settle()
                case "wait":
                    self.clock.advance(self.random.choice((0.001, 0.02, 0.1)))
            if step % 20 == 0:
                await self.check()
        await self.drain()

    async def drain(self) -> None:
        """As a worker would: claim when something is due, settle what comes first."""
        progress_us = self.clock.now_us
        while any(lane.queued for lane in self.model.values()):
            before = len(self.outcomes)
            wait_s = await self.claim()
            next_due_us = self.clock.now_us + round((wait_s or 0) * 1e6) + 500
            while self.under_way and self.under_way[0].settled_at_us <= next_due_us:
                await self.settle()
            self.clock.advance_to_us(next_due_us)
            if len(self.outcomes) > before:
                progress_us = self.clock.now_us
            assert self.clock.now_us - progress_us < 10 * self.most_wait_us(), "nothing ends any more"
        while self.under_way:
            await self.settle()


@pytest.mark.parametrize("seed", [1, 2])
async def test_invariants_hold_whatever_the_order_of_events(
    fake_redis: ArqRedis, clock: ManualClock, seed: int
) -> None:
    """Covered, ordered, fenced, one result each, and both limits, in 2,000 random steps."""
    world = World(fake_redis, clock, seed)

    await world.run(STEPS)

    await world.check()
    accepted = [job_id for lane in world.model.values() for job_id in lane.accepted]
    assert min(world.fates.values()) > 5, "every fate must have occurred"
    assert sorted(world.outcomes) == sorted(accepted)
    for job_id, token in world.outcomes.items():
        assert decode_result(await fake_redis.get(keyspace.RESULT + job_id)).message == token
    counts = await fake_redis.hgetall(keyspace.COUNTS)  # type: ignore[misc]
    assert sum(map(int, counts.values())) == len(accepted)
    for lane in world.model.values():
        order = [job_id for job_id, _ in itertools.groupby(lane.arrived)]
        assert order == [job_id for job_id in lane.accepted if job_id in set(order)]
    for arrivals_us in world.arrivals_us.values():
        ordered = sorted(arrivals_us)
        for first, eleventh in zip(ordered, ordered[10:], strict=False):
            assert eleventh - first >= EXCHANGE_WINDOW_US, "eleven requests of a user within a second"
    slots_us = sorted(world.slots_us)
    for first, later in itertools.combinations(range(len(slots_us)), 2):
        spent_us = slots_us[later] - slots_us[first] + PACING.egress_burst_us
        assert later - first <= spent_us / PACING.egress_pace_us + 1, "the egress is ahead of its rate"
