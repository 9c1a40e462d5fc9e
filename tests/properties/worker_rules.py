"""The steps of workers and clocks: claiming, settling in any order, stalling, dying; time passes, or Redis's is set."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from producers import SettingsChange
from tests.properties.model import LANE_LIMIT
from tests.properties.operator_rules import OperatorRules
from tests.properties.strategies import (
    FAILURES,
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
    who_renews,
)
from tests.properties.world import BEAT_US, TTL_US, Worker


def _somebody_works(machine: WorkerRules) -> bool:
    return any(worker.in_hand for worker in machine.world.workers)


def _something_is_queued(machine: WorkerRules) -> bool:
    return bool(machine.model.queued)


class WorkerRules(OperatorRules):
    """The steps of producers and operators, and those of workers and clocks."""

    def _renewing(self, who: str, worker: Worker) -> list[Worker]:
        others = [each for each in self.world.workers if each is not worker]
        return {"nobody": [], "others": others, "all": self.world.workers}[who]

    @precondition(_something_is_queued)
    @rule(worker=a_worker, most=st.integers(1, 6), late=st.sampled_from((False, False, False, True)))
    def claim(self, worker: int, most: int, *, late: bool) -> None:
        """A worker claims, perhaps after it has slept."""
        self.world.claim(self.world.workers[worker], most, late=late)

    @precondition(_something_is_queued)
    @rule(worker=a_worker, most=st.integers(1, 6), late=st.booleans(), renews=st.booleans())
    def lose_claim(self, worker: int, most: int, *, late: bool, renews: bool) -> None:
        """The reply to a claim is lost, or the claim is on its way for long; the next renewal may name it before."""
        if late and self.world.delayed:
            return
        loser = self.world.workers[worker]
        self.world.lose_claim(loser, most, late=late)
        if renews:
            self.world.renew(loser)
            self.world.after()
            if late:
                self.world.deliver()

    @precondition(lambda self: self.world.delayed is not None)
    @rule()
    def deliver(self) -> None:
        """A claim that was on its way for long arrives."""
        self.world.deliver()

    @precondition(_somebody_works)
    @rule(
        data=st.data(),
        verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=6),
        lag_ms=st.sampled_from((0, 3, 300, 3_000, 12_000)),
        who=who_renews,
    )
    def settle(self, data: st.DataObject, verdicts: list[str], lag_ms: int, who: str) -> None:
        """Requests of a worker end in any order, and are settled, some long after their session has lapsed."""
        worker = data.draw(st.sampled_from([worker for worker in self.world.workers if worker.in_hand]))
        renewing = self._renewing(who, worker)
        for verdict in verdicts[: len(worker.in_hand)]:
            number = data.draw(st.integers(0, len(worker.in_hand) - 1))
            up_ms, down_ms = (data.draw(st.sampled_from((*WAYS_MS[worker.egress], most))) for most in (1_000, 2_000))
            self.world.settle(worker, number, verdict, up_ms=up_ms, down_ms=down_ms, lag_ms=lag_ms, renewing=renewing)

    @precondition(_something_is_queued)
    @rule(worker=a_worker, verdict=a_verdict, other=a_worker, renews=st.booleans())
    def stall(self, worker: int, verdict: str, other: int, *, renews: bool) -> None:
        """A worker claims and stalls until its session has lapsed; it settles after another has claimed."""
        stalled = self.world.workers[worker]
        self.world.claim(stalled, 6)
        until_us = self.world.clock.now_us + TTL_US + 4 * BEAT_US
        self.world.wait_until_us(until_us, self._renewing("others", stalled))
        self.world.claim(self.world.workers[other], 50)
        if renews:
            self.world.renew(stalled)
        else:
            self.world.claim(stalled, 6, late=True)
        if stalled.in_hand:
            self.world.settle(stalled, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)

    @rule(worker=a_worker, change=a_change, verdict=st.sampled_from(FAILURES))
    def outage(self, worker: int, change: SettingsChange, verdict: str) -> None:
        """Every user has a change, and no request succeeds."""
        self.enqueue([each for _, each in to_everybody(change)], bulk=False, coalesce=False, ttl=3_600_000)
        self.work(worker, verdict, rounds=3)

    @precondition(_somebody_works)
    @rule(worker=a_worker, arrives=st.booleans(), late=st.booleans())
    def die(self, worker: int, *, arrives: bool, late: bool) -> None:
        """A worker dies with all that it had in hand."""
        self.world.lose(self.world.workers[worker], arrives=arrives, late=late)

    @rule(worker=a_worker, beats=st.sampled_from((0, 1, 3, 8)), who=who_renews)
    def beat(self, worker: int, beats: int, who: str) -> None:
        """Workers renew their sessions for a while, then one of them does."""
        renewing = self.world.workers[worker]
        self.world.wait_until_us(self.world.clock.now_us + beats * BEAT_US, self._renewing(who, renewing))
        self.world.renew(renewing)
        self.world.after()

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

    @rule(user=st.sampled_from(USERS), worker=a_worker, verdict=a_verdict)
    def wait_for_a_reply(self, user: str, worker: int, verdict: str) -> None:
        """A user with a low rate has lanes of both priorities, which wait for its request in flight."""
        self.limit_user(user, 0.5)
        for trader, bulk in zip(TRADERS, (True, False), strict=True):
            self.enqueue([a_change_of(user, trader)], bulk=bulk, coalesce=False, ttl=3_600_000)
        busy = self.world.workers[worker]
        for _ in range(2):
            self.world.claim(busy, 6)
            self.world.wait_until_us(self.world.clock.now_us + 100_000)
        while busy.in_hand:
            self.world.settle(busy, 0, verdict, up_ms=10, down_ms=10, lag_ms=0)

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.1, 1, 9, 10, 31, 61, 700)))
    def wait(self, seconds: float) -> None:
        """Redis stands still while time passes; keys expire, and nobody's lanes are taken."""
        self.world.wait_until_us(self.world.clock.now_us + round(seconds * 1e6))
        self.world.after()

    @rule(seconds=st.sampled_from((0.05, 1, 30, 3_600)), back=st.booleans())
    def step(self, seconds: float, *, back: bool) -> None:
        """The clock of Redis is set forward or back."""
        self.world.step(-seconds if back else seconds)
        self.world.after()
