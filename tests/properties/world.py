"""The queue on a real server with the clocks, compared with the model after each step."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.asyncio.client import PubSub

from ops.keys import KEYS
from producers import Producer, ProducerSettings
from producers.contract import keyspace
from producers.queue.parts import BEATS_PER_TTL
from tests.properties import arrivals, invariants
from tests.properties.arrivals import Request
from tests.properties.model import LANE_LIMIT, Model
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import TimedRedis
from worker.queue.claims import Claim
from worker.queue.rate import Pacing
from worker.queue.session import Session

T = TypeVar("T")

EGRESSES = ("near", "near", "far")
"""Of the workers."""

RESULT_TTL_S = 600
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=40, margin_percent=0.2)
TTL_US = round(DEFAULTS.session_ttl_s * 1e6)
BEAT_US = TTL_US // BEATS_PER_TTL
LATE_FOR_US = round((DEFAULTS.connect_timeout_s + DEFAULTS.request_timeout_s) * 1e6)
"""For how long after it was sent a request may be applied."""

MOST_BEATS = 16
"""Renewals in a time that passes; after them Redis stands still."""


@dataclass
class Worker:
    """One worker process: its scripts, and the claims that it has in hand."""

    egress: str
    lanes: Lanes
    in_hand: list[tuple[Claim, Request]] = field(default_factory=list)

    @property
    def session(self) -> Session:
        """Its session."""
        return self.lanes.claimer.session

    @property
    def is_trusted(self) -> bool:
        """Whether it may claim and send."""
        return self.session.is_trusted(self.session.session_id)


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
        self.workers = [self.new_worker(egress) for egress in EGRESSES]
        self.requests: list[Request] = []
        self.delayed: tuple[Worker, str, int] | None = None
        self.rates: dict[str, float] = {}
        self.pins: dict[str, str] = {}
        self.keys: Counter[str] = Counter()
        self.dump: invariants.Dump = {}
        self.numbers = itertools.count()
        self.listener: PubSub = redis.pubsub()
        self._announced: Counter[str] = Counter()
        self.do(self._begin())

    def new_worker(self, egress: str) -> Worker:
        """Start a worker process."""
        changed = DEFAULTS.__class__(egress=egress, result_ttl_s=RESULT_TTL_S, dead_letter_ttl_s=10 * RESULT_TTL_S)
        return Worker(egress, Lanes(self.redis, clock=self.clock, pacing=PACING, settings=changed))

    async def _begin(self) -> None:
        self.redis.next_script, self.redis.delayed = "", None
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

    def wait_until_us(self, at_us: int, renewing: Sequence[Worker] = ()) -> None:
        """Let time pass until a moment of the steady clock, while workers renew their sessions."""
        if renewing:
            for _ in range(MOST_BEATS):
                if self.clock.now_us + BEAT_US >= at_us:
                    break
                self.clock.advance_to_us(self.clock.now_us + BEAT_US)
                self.do(self.redis.set_time(self.now_us))
                for worker in renewing:
                    self.renew(worker)
        self.clock.advance_to_us(at_us)
        self._set_time()

    def renew(self, worker: Worker) -> None:
        """Let a worker open or renew its session, and take back the lanes of those that have lapsed."""
        session_id = worker.session.session_id
        lapsed = self.model.sessions.renew(session_id, self.now_ms, self.epoch)
        more = self.do(worker.session.renew())
        assert more == (lapsed is None), "a dead session is replaced at once"
        assert (worker.session.session_id == session_id) == (lapsed is not None)
        if lapsed is None:
            self.seen["a session was refused"] += 1
            return
        self.seen["a lost claim was given back"] += bool(self.model.give_back(session_id))
        for each in lapsed:
            row = self.model.sessions.rows.pop(each)
            is_steady = row.epoch == self.epoch
            trusting = [worker for worker in self.workers if worker.session.is_trusted(each)]
            assert not (is_steady and trusting), "a session is taken back only after its worker has given it up"
            self.seen["lanes were taken back"] += bool(self.model.take_back(each))

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

    def pin(self, pins: dict[str, str | None]) -> None:
        """Pin users to egresses, or unpin them."""
        before = dict(self.pins)
        for user, egress in pins.items():
            self.pins.pop(keyspace.escape(user), None)
            if egress is not None:
                self.pins[keyspace.escape(user)] = egress
        changed = {user for user, _ in self.pins.items() ^ before.items()}
        assert self.do(self.producer.pin_users(pins)) == len(changed)
        in_flight = {lane.partition(":")[0] for lane in self.model.held}
        self.seen["a user was pinned while it had a request in flight"] += bool(in_flight & changed)
        self.after()

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
        invariants.check(self.dump, self.model, self.pins)

    async def _news(self) -> tuple[list[str], list[str]]:
        """Return what was announced since the last call: changes that ended, batches that are complete."""
        done: list[str] = []
        complete: list[str] = []
        await self.listener.ping()
        while True:
            message: dict[str, Any] | None = await self.listener.get_message(timeout=30)
            assert message is not None
            if message["type"] == "pong":
                return done, sorted(complete)
            if message["type"] == "pmessage":
                channel, data = message["channel"].decode(), message["data"].decode()
                (done if channel.startswith(KEYS.job_done) else complete).append(data)

    def check_pace(self) -> None:
        """Check both rate limits over all requests so far."""
        arrivals.check(self.requests, PACING)
