"""All scripts in random steps beside a model: batches, groups, priorities, pauses, rates, cancellations, replays."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.asyncio.client import PubSub

from producers import BatchConflict, Priority, Producer, SettingsChange
from producers.contract import keyspace
from producers.contract.keyspace import batch_of
from tests.support.changes import setting
from tests.support.fan_outs import where_consistent
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import START_US, ManualClock
from worker.queue.claims import Claim
from worker.queue.rate import Pacing

STEPS = 1_500
USERS, TRADERS, SYMBOLS = ("1", "1:2", "3"), ("a", "a:b", "c"), ("A", "B", "C")
BATCHES = ("x", "y", "z")
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=40, margin_percent=0.2)
LONGEST_STALL_S = DEFAULTS.lease_s + 60
VERDICTS = ("success", "transient", "permanent", "credentials", "throttled", "unsent", "late", "lost")
WEIGHTS = (50, 8, 12, 5, 5, 6, 9, 8)


class World:
    """The queue, its workers, those who steer it, and the model."""

    def __init__(self, redis: ArqRedis, clock: ManualClock, told: PubSub, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self.clock, self.told = clock, told
        self.lanes = Lanes(redis, clock=clock, pacing=PACING)
        self.producer = Producer(redis)
        self.queued: dict[str, list[str]] = defaultdict(list)
        self.lane_of: dict[str, str] = {}
        self.held: dict[str, tuple[str, str]] = {}
        self.ended: list[str] = []
        self.closed: set[str] = set()
        self.under_way: list[tuple[int, int, Claim, str]] = []
        self.numbers = itertools.count()
        self.seen: Counter[str] = Counter()

    def a_change(self) -> SettingsChange:
        """Any change of the few lanes and pairs."""
        return SettingsChange(
            user_id=self.random.choice(USERS),
            trader_id=self.random.choice(TRADERS),
            settings=[setting(symbol=symbol) for symbol in self.random.sample(SYMBOLS, self.random.randint(1, 2))],
        )

    def accept(self, job_id: str, change: SettingsChange) -> None:
        """It is in its lane."""
        lane = keyspace.lane(change.user_id, change.trader_id)
        self.queued[lane].append(job_id)
        self.lane_of[job_id] = lane

    async def enqueue(self) -> None:
        """Single changes."""
        change, job_id = self.a_change(), f"j{next(self.numbers)}"
        priority = self.random.choice(list(Priority))
        await self.producer.enqueue(change, job_id=job_id, priority=priority, coalesce=self.random.random() < 0.6)
        self.accept(job_id, change)

    async def add_to_batch(self) -> None:
        """A chunk of a batch that is not sealed, as a producer in the middle of it would send."""
        batch_id = self.random.choice(BATCHES)
        chunk = [(f"{batch_id}//{next(self.numbers)}", self.a_change()) for _ in range(self.random.randint(1, 4))]
        verdicts = await self.lanes.submit(
            *chunk,
            batch_id=batch_id,
            content="changes",
            priority=self.random.choice(list(Priority)),
            coalesce=self.random.random() < 0.5,
            now_ms=self.clock.now_ms,
        )
        assert (min(verdicts) < 0) == (batch_id in self.closed)
        for (job_id, change), verdict in zip(chunk, verdicts, strict=True):
            if verdict > 0:
                self.accept(job_id, change)

    async def seal(self) -> None:
        """Its producer has no more: rarely, so that batches grow."""
        batch_id = self.random.choice(BATCHES)
        if self.random.random() < 0.05:
            try:
                await self.producer.fan_out([], batch_id=batch_id)
            except BatchConflict:
                assert batch_id in self.closed
            self.closed.add(batch_id)

    async def claim(self) -> float | None:
        """A worker asks."""
        await self.learn()
        claims = await self.lanes.claims(self.random.randint(1, 5), self.lanes.new_claimer())
        assert claims.malformed == []
        for claim in claims.claims:
            assert self.queued[claim.lane][0] == claim.job_id, "only a head may be claimed"
            self.held[claim.lane] = claim.token, claim.job_id
            (fate,) = self.random.choices(VERDICTS, WEIGHTS)
            self.seen[fate] += 1
            slot_us = START_US + round(claim.slot_at_s * 1e6)
            took_us = round(DEFAULTS.lease_s * 1e6) + self.random.choice((0, 2_000_000)) if fate == "late" else 50_000
            if fate != "lost":
                heapq.heappush(self.under_way, (slot_us + took_us, next(self.numbers), claim, fate))
        return claims.next_due_s

    async def settle(self) -> None:
        """The attempt that ends next is settled, whoever holds its lane by then."""
        if not self.under_way:
            return
        at_us, _, claim, fate = heapq.heappop(self.under_way)
        self.clock.advance_to_us(at_us)
        if fate == "late":
            await self.claim()
        if fate == "unsent":
            settled = await self.lanes.back(claim, replied=False)
        else:
            settled = await self.lanes.attempt(claim, "success" if fate == "late" else fate)
        ours = self.held.get(claim.lane, ("", ""))[0] == claim.token
        assert settled.fenced == (not ours)
        self.seen["fenced"] += settled.fenced
        self.seen["in a group"] += settled.ended > 1
        if ours:
            del self.held[claim.lane]

    async def take_back(self) -> None:
        """A change, rarely a user, hardly ever a batch."""
        chance = self.random.random()
        if chance < 0.95 and self.lane_of:
            await self.producer.job(self.random.choice(list(self.lane_of))).cancel()
        elif chance < 0.98:
            await self.producer.cancel_user(self.random.choice(USERS))
        elif await self.lanes.redis.exists(keyspace.BATCH + (batch_id := self.random.choice(BATCHES))):
            await self.producer.batch(batch_id).cancel()
            self.closed.add(batch_id)

    async def steer(self) -> None:
        """Pauses come and go, rates change."""
        user, trader = self.random.choice(USERS), self.random.choice(TRADERS)
        scopes: list[dict[str, Any]] = [{"user_id": user}, {"trader_id": trader}, {"egress": "default"}]
        (scope,) = self.random.choices(scopes, (5, 5, 1))
        ways: list[Callable[[], Awaitable[Any]]] = [
            lambda: self.producer.pause(**scope),
            self.resume_all,
            lambda: self.producer.limit_user(user, self.random.choice((None, 2.5, 20))),
        ]
        await self.random.choice(ways)()

    async def resume_all(self) -> None:
        """No pause is left."""
        for pause in await self.producer.paused():
            kind = {"egress": "egress"}.get(pause.kind, f"{pause.kind}_id")
            await self.producer.resume(**{kind: pause.name})  # type: ignore[arg-type]

    async def replay(self) -> None:
        """All letters there are."""
        found = {letter.job_id: letter async for letter in self.producer.dead.list()}
        for old, new in (await self.producer.dead.replay(everything=True)).replayed:
            change = found[old].change
            assert change is not None
            self.accept(new, change)
            self.seen["replayed"] += 1

    async def learn(self) -> None:
        """What was told to have ended: each once, and only what was queued."""
        while (message := await self.told.get_message(ignore_subscribe_messages=True, timeout=0)) is not None:
            job_id = message["data"].decode()
            self.queued[self.lane_of[job_id]].remove(job_id)
            del self.lane_of[job_id]
            self.ended.append(job_id)

    async def check(self) -> None:
        """What Redis holds is what the model holds."""
        assert await self.lanes.uncovered() == set()
        for lane, queued in self.queued.items():
            assert await self.lanes.queued(lane) == queued
            urgent = await self.lanes.redis.zscore(keyspace.SCHEDULE, lane) is not None
            assert urgent <= bool(queued)
        for batch_id in BATCHES:
            if await self.lanes.redis.exists(keyspace.BATCH + batch_id):
                await self.check_batch(batch_id)

    async def check_batch(self, batch_id: str) -> None:
        """Counters, completion, stream."""
        batch = self.producer.batch(batch_id)
        progress = await where_consistent(batch)
        ended = [job_id for job_id in self.ended if batch_of(job_id) == batch_id]
        assert progress.ended == len(ended)
        assert progress.total == len(ended) + sum(batch_of(job_id) == batch_id for job_id in self.lane_of)
        assert progress.in_flight == sum(batch_of(job_id) == batch_id for _, job_id in self.held.values())
        page = await batch.page(limit=100_000)
        assert [result.job_id for result in page.results] == ended
        assert Counter(result.outcome for result in page.results) == progress.outcomes
        assert page.complete == progress.complete

    async def run(self) -> None:
        """Random steps, then until everything has ended."""
        steps = [self.enqueue, self.add_to_batch, self.seal, self.claim, self.settle, self.take_back, self.steer]
        for step in range(STEPS):
            await self.random.choices(steps, (12, 8, 2, 40, 35, 4, 4))[0]()
            if step % 100 == 50:
                await self.replay()
            self.clock.advance(self.random.choice((0, 0.02, 0.2)))
            await self.learn()
            if step % 20 == 0:
                await self.check()
        await self.resume_all()
        for user in USERS:
            await self.producer.limit_user(user, None)
        await self.drain()

    async def drain(self) -> None:
        """As a worker would: claim when something is due, settle what comes first."""
        progress_s = self.clock.monotonic()
        while any(self.queued.values()):
            before = len(self.ended)
            next_due_us = self.clock.now_us + round((await self.claim() or 0) * 1e6) + 500
            while self.under_way and self.under_way[0][0] <= next_due_us:
                await self.settle()
            self.clock.advance_to_us(next_due_us)
            await self.learn()
            progress_s = self.clock.monotonic() if len(self.ended) > before else progress_s
            assert self.clock.monotonic() - progress_s < LONGEST_STALL_S, "nothing ends any more"


@pytest.mark.parametrize("seed", range(3))
async def test_invariants_hold_whoever_steers_the_queue(fake_redis: ArqRedis, clock: ManualClock, seed: int) -> None:
    """Covered, ordered, fenced, one result each; counters and streams that agree."""
    random.seed(seed)  # the back-off draws from it
    async with fake_redis.pubsub() as told:
        await told.psubscribe(f"{keyspace.DONE}*")
        world = World(fake_redis, clock, told, seed)

        await world.run()

    await world.check()
    assert min(world.seen[each] for each in (*VERDICTS, "fenced", "in a group", "replayed")) > 0, world.seen
    assert max(Counter(world.ended).values()) == 1
    assert world.lane_of == {}
    counts = await fake_redis.hgetall(keyspace.COUNTS)  # type: ignore[misc]
    assert sum(map(int, counts.values())) == len(world.ended)
    assert [key async for key in fake_redis.scan_iter(f"{keyspace.HEAD}*")] == []
    assert [key async for key in fake_redis.scan_iter(f"{keyspace.JOB}*")] == []
