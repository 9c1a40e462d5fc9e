"""The scripts as a state machine, on a real server, beside a model: whoever does what, in whatever order."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from producers import Priority, SettingsChange, keys
from producers.batches import seal
from producers.errors import BatchConflict, BatchNotFound, DeadLetterNotFound
from producers.jobs import Cancellation
from producers.performing import perform
from producers.submission import Submission, Terms, submit
from tests.changes import setting
from tests.properties import invariants, patience
from tests.properties.invariants import LASTING
from tests.properties.model import LANE_LIMIT, Batch
from tests.properties.timed_redis import TimedRedis
from tests.properties.world import EGRESSES, LEASE_US, RESULT_TTL_S, World

USERS, TRADERS, SYMBOLS = ("1", "1:2", "3", "4", "5", "6"), ("a", "b:c"), ("A", "B", "C")
BATCHES = ("x", "y")
VERDICTS = (
    "success", "success", "success", "transient", "permanent", "credentials", "throttled", "clock_skew", "failed",
    "ambiguous", "unsent",
)  # fmt: skip
LOOK_US = 50_000
"""The good worker looks no more often than this."""

WAYS_MS = {"near": (10, 30), "far": (10, 60)}

a_change = st.builds(
    lambda user, trader, symbols: SettingsChange(
        user_id=user, trader_id=trader, settings=[setting(symbol=symbol) for symbol in symbols]
    ),
    st.sampled_from((*USERS, "1", "1", "1", "1:2", "1:2")),  # some have more to do than others
    st.sampled_from(TRADERS),
    st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=2, unique=True),
)
some_changes = st.lists(a_change, min_size=1, max_size=6)


def to_everybody(change: SettingsChange) -> list[tuple[int, SettingsChange]]:
    """A fan-out."""
    return [(20 + number, msgspec.structs.replace(change, user_id=user)) for number, user in enumerate(USERS)]


a_ttl_ms = st.sampled_from((3_600_000, 3_600_000, 20_000, 500))
a_worker = st.integers(0, len(EGRESSES) - 1)
a_scope = st.sampled_from(
    [{"user_id": user} for user in USERS]
    + [{"trader_id": trader} for trader in TRADERS]
    + [{"egress": "near"}, {"everything": True}]
)


class Queue(RuleBasedStateMachine):
    """Rules are what producers, workers, operators and clocks do."""

    redis: TimedRedis
    loop: asyncio.AbstractEventLoop
    seen: Counter[str]

    @initialize(changes=some_changes, bulk=st.booleans(), coalesce=st.booleans())
    def begin(self, changes: list[SettingsChange], *, bulk: bool, coalesce: bool) -> None:
        """A queue with something in it."""
        self.world = World(self.redis, self.loop, self.seen)
        self.model = self.world.model
        self.known: list[str] = []
        self.enqueue(changes, bulk=bulk, coalesce=coalesce, ttl=3_600_000)

    # --- producers ---

    def _submit(self, changes: list[tuple[str, SettingsChange]], terms: Terms, ttl_ms: int) -> list[int]:
        world = self.world
        some = [Submission.of(one, job_id, terms, now_ms=world.now_ms, ttl_ms=ttl_ms) for job_id, one in changes]
        call = submit(some, terms)
        _, *verdicts = world.do(call.script.run(self.redis, call.keys, call.args))
        return verdicts

    @rule(changes=some_changes, bulk=st.booleans(), coalesce=st.booleans(), ttl=a_ttl_ms)
    def enqueue(self, changes: list[SettingsChange], *, bulk: bool, coalesce: bool, ttl: int) -> None:
        """Changes of their own."""
        named = [(f"j{next(self.world.numbers)}", change) for change in changes]
        self._enqueue(named, bulk=bulk, coalesce=coalesce, ttl_ms=ttl)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), change=a_change, bulk=st.booleans())
    def enqueue_again(self, data: st.DataObject, change: SettingsChange, *, bulk: bool) -> None:
        """A job ID that was used before."""
        self._enqueue([(data.draw(st.sampled_from(self.known)), change)], bulk=bulk, coalesce=False, ttl_ms=60_000)

    def _enqueue(self, named: list[tuple[str, SettingsChange]], *, bulk: bool, coalesce: bool, ttl_ms: int) -> None:
        expected = []
        for job_id, change in named:
            known = job_id in self.model.lane_of or keys.RESULT + job_id in self.world.dump
            lane = keys.lane(change.user_id, change.trader_id)
            expected.append(self.model.submit(lane, job_id, bulk=bulk, known=known))
            if job_id not in self.known:
                self.known.append(job_id)
        terms = Terms(LANE_LIMIT, Priority.BULK if bulk else Priority.INTERACTIVE, coalesce)
        assert self._submit(named, terms, ttl_ms) == expected
        self.world.after()

    @rule(
        batch_id=st.sampled_from(BATCHES),
        chunk=st.lists(st.tuples(st.integers(0, 12), a_change), min_size=1, max_size=5) | st.builds(to_everybody, a_change),
        bulk=st.booleans(),
        coalesce=st.booleans(),
        ttl=a_ttl_ms,
    )
    def add_to_batch(
        self, batch_id: str, chunk: list[tuple[int, SettingsChange]], *, bulk: bool, coalesce: bool, ttl: int
    ) -> None:
        """A chunk of a batch; some of it may have been sent before."""
        named = [(f"{batch_id}//{number}", change) for number, change in chunk]
        lanes = [(keys.lane(change.user_id, change.trader_id), job_id) for job_id, change in named]
        expected = self.model.submit_to_batch(batch_id, lanes, bulk=bulk)
        priority = Priority.BULK if bulk else Priority.INTERACTIVE
        assert self._submit(named, Terms(LANE_LIMIT, priority, coalesce, batch_id, "changes"), ttl) == expected
        self.world.after()

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data(), short=st.integers(0, 1))
    def seal(self, data: st.DataObject, short: int) -> None:
        """A batch's producer has no more."""
        batch_id = data.draw(st.sampled_from(BATCHES))
        batch = self.model.batches.setdefault(batch_id, Batch())
        batch.is_sealed, batch.is_short = True, short > 0
        terms = Terms(LANE_LIMIT, batch_id=batch_id, content="changes")
        self.world.do(
            perform(self.redis, seal(batch_id, terms, short=short, life_ms=RESULT_TTL_S * 1000), "sealing")
        )
        self.world.after()

    @precondition(lambda self: invariants.named(self.world.dump, keys.LETTER))
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Dead letters are sent again."""
        world, chosen = self.world, data.draw(st.sampled_from([{"everything": True}, {"batch_id": "x"}, {"user_id": "1"}]))
        letters = {letter.job_id: letter for letter in world.do(self._letters())}
        report = world.do(world.producer.dead.replay(**chosen))  # type: ignore[arg-type]
        world.seen["replayed"] += len(report.replayed)
        for old, new in report.replayed:
            change = letters[old].change
            assert change is not None
            lane = keys.lane(change.user_id, change.trader_id)
            known = new in self.model.lane_of or keys.RESULT + new in world.dump
            assert self.model.submit(lane, new, bulk=True, known=known) > 0
        world.after()
        assert not {keys.LETTER + old for old, _ in report.replayed} & world.dump.keys()

    async def _letters(self) -> list[Any]:
        return [letter async for letter in self.world.producer.dead.list()]

    # --- workers ---

    @precondition(lambda self: self.model.queued)
    @rule(worker=a_worker, most=st.integers(1, 6))
    def claim(self, worker: int, most: int) -> None:
        """A worker asks for work."""
        self.world.claim(self.world.workers[worker], most)

    @precondition(lambda self: any(worker.in_hand for worker in self.world.workers))
    @rule(
        data=st.data(),
        verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=6),
        lag_ms=st.sampled_from((0, 3, 300, 3_000)),
    )
    def settle(self, data: st.DataObject, verdicts: list[str], lag_ms: int) -> None:
        """Requests of a worker end, in some order, and are settled."""
        worker = data.draw(st.sampled_from([worker for worker in self.world.workers if worker.in_hand]))
        for verdict in verdicts[: len(worker.in_hand)]:
            number = data.draw(st.integers(0, len(worker.in_hand) - 1))
            up_ms, down_ms = (data.draw(st.sampled_from((*WAYS_MS[worker.egress], 2_000))) for _ in range(2))
            self.world.settle(worker, number, verdict, up_ms=up_ms, down_ms=down_ms, lag_ms=lag_ms)

    @precondition(lambda self: any(worker.in_hand for worker in self.world.workers))
    @rule(data=st.data(), verdict=st.sampled_from(VERDICTS), other=a_worker)
    def stall(self, data: st.DataObject, verdict: str, other: int) -> None:
        """A worker stands still until its leases are over, and settles when others have claimed."""
        stalled = data.draw(st.sampled_from([worker for worker in self.world.workers if worker.in_hand]))
        self.world.wait_until_us(self.world.clock.now_us + LEASE_US + 1_000_000)
        self.world.claim(self.world.workers[other], 6)
        self.world.beat(stalled)
        if stalled.in_hand:
            self.world.settle(stalled, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)

    @precondition(lambda self: any(worker.in_hand for worker in self.world.workers))
    @rule(worker=a_worker, arrives=st.booleans())
    def die(self, worker: int, *, arrives: bool) -> None:
        """A worker is gone with all that it had in hand."""
        self.world.lose(self.world.workers[worker], arrives=arrives)

    @precondition(lambda self: any(worker.in_hand for worker in self.world.workers))
    @rule(worker=a_worker, seconds=st.sampled_from((0, 3, 8)))
    def beat(self, worker: int, seconds: float) -> None:
        """A worker's heartbeat."""
        self.world.wait_until_us(self.world.clock.now_us + seconds * 1_000_000)
        self.world.beat(self.world.workers[worker])

    @precondition(lambda self: self.model.queued)
    @rule(worker=a_worker, verdict=st.sampled_from(VERDICTS), rounds=st.integers(1, 5))
    def work(self, worker: int, verdict: str, rounds: int) -> None:
        """A worker goes round, and all its requests end alike: good weather, or an outage."""
        busy = self.world.workers[worker]
        for _ in range(rounds):
            self.world.claim(busy, 6)
            while busy.in_hand:
                self.world.settle(busy, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)
            self.world.wait_until_us(self.world.clock.now_us + 300_000)


    # --- operators ---

    @precondition(lambda self: self.known)
    @rule(data=st.data(), what=st.sampled_from(("change", "change", "change", "user", "batch")))
    def take_back(self, data: st.DataObject, what: str) -> None:
        """A change, all of a user, or a batch."""
        match what:
            case "change":
                self._cancel(data.draw(st.sampled_from(self.known)))
            case "user":
                self._cancel_user(data.draw(st.sampled_from(USERS)))
            case "batch":
                self._cancel_batch(data.draw(st.sampled_from(BATCHES)))
        self.world.after()

    def _cancel(self, job_id: str) -> None:
        was_queued = job_id in self.model.lane_of
        found = self.world.do(self.world.producer.job(job_id).cancel())
        self._cancelled([job_id], found)
        if not was_queued:
            has_result = keys.RESULT + job_id in self.world.dump
            assert found is (Cancellation.ENDED if has_result else Cancellation.NOT_FOUND)

    def _cancel_user(self, user: str) -> None:
        of_user = [job_id for job_id, lane in self.model.lane_of.items() if keys.parties(lane)[0] == user]
        report = self.world.do(self.world.producer.cancel_user(user))
        assert report.cancelled + report.in_flight == len(of_user)
        self._cancelled(of_user)

    def _cancel_batch(self, batch_id: str) -> None:
        try:
            self.world.do(self.world.producer.batch(batch_id).cancel())
        except BatchNotFound:
            assert batch_id not in self.model.batches
            return
        batch = self.model.batches[batch_id]
        batch.is_sealed = batch.is_cancelled = True
        self._cancelled([job_id for job_id in self.model.lane_of if job_id in batch.members])

    def _cancelled(self, job_ids: list[str], found: Cancellation | None = None) -> None:
        """What is queued ends; what is in flight does not."""
        for job_id in job_ids:
            if job_id in self.model.lane_of:
                in_flight = self.model.is_in_flight(job_id)
                assert found is None or found is (Cancellation.IN_FLIGHT if in_flight else Cancellation.CANCELLED)
                if not in_flight:
                    self.model.end(job_id, "cancelled")

    @rule(scope=a_scope, back=st.booleans())
    def pause(self, scope: dict[str, Any], *, back: bool) -> None:
        """Something is paused, or let go."""
        self.world.do(self.world.producer.resume(**scope) if back else self.world.producer.pause(**scope))
        self.world.after()

    @rule(user=st.sampled_from(USERS), rate=st.sampled_from((None, 0.1, 0.5, 2.5, 20)))
    def limit_user(self, user: str, rate: float | None) -> None:
        """A user gets a rate of its own, or the workers'; or other keys."""
        self.world.do(self.world.producer.limit_user(user, rate))
        self.world.rates[keys.escape(user)] = rate or 10.0
        self.world.after()

    @precondition(lambda self: keys.REFUSED in self.world.dump)
    @rule(data=st.data())
    def replace_keys(self, data: st.DataObject) -> None:
        """A user whose keys were refused has others from now on."""
        refused = sorted(user.decode() for user in invariants.value(self.world.dump, keys.REFUSED, {}))
        self.world.keys[data.draw(st.sampled_from(refused))] += 1

    # --- clocks ---

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.1, 1, 9, 10, 31, 61, 700)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.wait_until_us(self.world.clock.now_us + round(seconds * 1e6))
        self.world.after()

    @rule(seconds=st.sampled_from((0.05, 1, 30, 3_600)), back=st.booleans())
    def step(self, seconds: float, *, back: bool) -> None:
        """Redis's clock is set."""
        self.world.step(-seconds if back else seconds)
        self.world.after()

    def teardown(self) -> None:
        """What is left ends; nothing else remains."""
        if hasattr(self, "world"):
            try:
                self._finish()
            finally:
                self.world.close()

    def _finish(self) -> None:
        for pause in self.world.do(self.world.producer.paused()):
            self.pause({"everything": True} if pause.kind == "everything" else _scope(pause.kind, pause.name), back=True)
        for user in USERS:
            if keys.escape(user) in self.world.rates:
                self.limit_user(user, None)
        drain(self.world)
        self.world.check_pace()
        assert self.model.ended == self.model.accepted
        self.wait(20 * RESULT_TTL_S)
        assert {key for key in self.world.dump if not key.startswith(keys.DEAD)} <= LASTING - {keys.PAUSED, keys.RATES}


def _scope(kind: str, name: str) -> dict[str, str]:
    return {"egress" if kind == "egress" else f"{kind}_id": name}


def drain(world: World) -> None:
    """A good worker does what is left, and nobody waits longer than for what is known to hold it back."""
    for worker in world.workers:
        world.lose(worker, arrives=True)
    worker = world.workers[0]
    ready_us = {user: patience.ready_us(world, user) for user in {lane.partition(":")[0] for lane in world.model.queued}}
    for _ in range(2_000):
        if not world.model.queued:
            return
        for user in {lane.partition(":")[0] for lane in world.model.queued}:
            assert world.now_us < ready_us[user], f"user {user} waits for nothing"
        next_due_s = world.claim(worker, 50)
        if worker.in_hand:
            world.settle(worker, 0, "success", up_ms=10, down_ms=10, lag_ms=0)
        else:
            world.wait_until_us(world.clock.now_us + max(LOOK_US, round((next_due_s or 0) * 1e6) + 1))
    raise AssertionError("what is left does not end")


def test_invariants_hold_whatever_is_done_in_whatever_order(
    timed_redis: TimedRedis, loop: asyncio.AbstractEventLoop
) -> None:
    """Covered, paced, ordered, fenced, one result each, bounded: after every step."""
    seen: Counter[str] = Counter()
    queue = type("Queue", (Queue,), {"redis": timed_redis, "loop": loop, "seen": seen})

    run_state_machine_as_test(queue, settings=settings(stateful_step_count=40))

    print(seen)
