"""The steps of workers and clocks: claiming, settling in any order, stalling, dying; time passes, or Redis's is set."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from producers import SettingsChange
from tests.properties.model import LANE_LIMIT
from tests.properties.operator_rules import OperatorRules
from tests.properties.strategies import (
    SLOW_WAYS_MS,
    TRADERS,
    USERS,
    VERDICTS,
    WAYS_MS,
    a_change,
    a_change_of,
    a_verdict,
    a_worker,
    to_everybody,
)
from tests.properties.world import LEASE_US


def _somebody_works(machine: WorkerRules) -> bool:
    return any(worker.in_hand for worker in machine.world.workers)


def _something_is_queued(machine: WorkerRules) -> bool:
    return bool(machine.model.queued)


class WorkerRules(OperatorRules):
    """The steps of producers and operators, and those of workers and clocks."""

    @precondition(_something_is_queued)
    @rule(worker=a_worker, most=st.integers(1, 6))
    def claim(self, worker: int, most: int) -> None:
        """A worker claims."""
        self.world.claim(self.world.workers[worker], most)

    @precondition(_somebody_works)
    @rule(
        data=st.data(),
        verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=6),
        lag_ms=st.sampled_from((0, 3, 300, 3_000, 12_000)),
    )
    def settle(self, data: st.DataObject, verdicts: list[str], lag_ms: int) -> None:
        """Requests of a worker end in any order, and are settled, some long after their leases."""
        worker = data.draw(st.sampled_from([worker for worker in self.world.workers if worker.in_hand]))
        for verdict in verdicts[: len(worker.in_hand)]:
            number = data.draw(st.integers(0, len(worker.in_hand) - 1))
            up_ms, down_ms = (data.draw(st.sampled_from((*WAYS_MS[worker.egress], 2_000))) for _ in range(2))
            self.world.settle(worker, number, verdict, up_ms=up_ms, down_ms=down_ms, lag_ms=lag_ms)

    @precondition(_something_is_queued)
    @rule(worker=a_worker, verdict=a_verdict, other=a_worker)
    def stall(self, worker: int, verdict: str, other: int) -> None:
        """A worker claims and stalls until its leases have lapsed; it settles after another has claimed."""
        stalled = self.world.workers[worker]
        self.world.claim(stalled, 6)
        self.world.wait_until_us(self.world.clock.now_us + LEASE_US + 1_000_000)
        self.world.claim(self.world.workers[other], 50)
        self.world.beat(stalled)
        if stalled.in_hand:
            self.world.settle(stalled, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)

    @rule(worker=a_worker, change=a_change, verdict=st.sampled_from(("credentials", "transient", "throttled")))
    def outage(self, worker: int, change: SettingsChange, verdict: str) -> None:
        """Every user has a change, and no request succeeds."""
        self.enqueue([each for _, each in to_everybody(change)], bulk=False, coalesce=False, ttl=3_600_000)
        self.work(worker, verdict, rounds=3)

    @precondition(_somebody_works)
    @rule(worker=a_worker, arrives=st.booleans())
    def die(self, worker: int, *, arrives: bool) -> None:
        """A worker dies with all that it had in hand."""
        self.world.lose(self.world.workers[worker], arrives=arrives)

    @precondition(_somebody_works)
    @rule(worker=a_worker, seconds=st.sampled_from((0, 3, 8)))
    def beat(self, worker: int, seconds: int) -> None:
        """A worker renews its leases."""
        self.world.wait_until_us(self.world.clock.now_us + seconds * 1_000_000)
        self.world.beat(self.world.workers[worker])

    @precondition(_something_is_queued)
    @rule(worker=a_worker, verdict=a_verdict, rounds=st.integers(1, 5))
    def work(self, worker: int, verdict: str, rounds: int) -> None:
        """A worker claims and settles some times; all its requests end alike."""
        busy = self.world.workers[worker]
        for _ in range(rounds):
            self.world.claim(busy, 6)
            while busy.in_hand:
                self.world.settle(busy, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)
            self.world.wait_until_us(self.world.clock.now_us + 300_000)

    @rule(user=st.sampled_from(USERS), chance=st.randoms(use_true_random=False))
    def rush(self, user: str, chance: random.Random) -> None:
        """A user's full lanes are drained; each request takes its time both ways, so that the guard has to hold."""
        changes = [a_change_of(user, trader) for trader in TRADERS for _ in range(LANE_LIMIT)]
        self.enqueue(changes, bulk=False, coalesce=False, ttl=3_600_000)
        busy = self.world.workers[0]
        for _ in range(3 * LANE_LIMIT):
            next_due_s = self.world.claim(busy, 6)
            while busy.in_hand:
                up_ms, down_ms = chance.choice(SLOW_WAYS_MS), chance.choice(SLOW_WAYS_MS)
                self.world.settle(busy, 0, "success", up_ms=up_ms, down_ms=down_ms, lag_ms=0)
            self.world.wait_until_us(self.world.clock.now_us + max(10_000, round(min(next_due_s or 0, 0.2) * 1e6)))

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.1, 1, 9, 10, 31, 61, 700)))
    def wait(self, seconds: float) -> None:
        """Time passes; leases lapse, keys expire."""
        self.world.wait_until_us(self.world.clock.now_us + round(seconds * 1e6))
        self.world.after()

    @rule(seconds=st.sampled_from((0.05, 1, 30, 3_600)), back=st.booleans())
    def step(self, seconds: float, *, back: bool) -> None:
        """The clock of Redis is set forward or back."""
        self.world.step(-seconds if back else seconds)
        self.world.after()
