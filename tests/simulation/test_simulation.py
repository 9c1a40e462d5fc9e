"""Thousands of random histories of the core, each from a seed: kills, stalls, lost replies, pauses, cancels, pins."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from redis import Redis

from ops.keys import KEYS
from producers.queue.cancel_messages import CANCEL, CancelRequest, CancelRow, CancelVerdict
from producers.queue.lanes import entry
from producers.queue.pauses import RESUME, WAKE, ResumeRequest, WakeRequest
from producers.queue.pins import PIN, PinRequest, PinRow
from producers.queue.submit_messages import SUBMIT, ChangeRow, SubmitRequest
from producers.transport.script_messages import encode
from tests.simulation.redis import ANY, EGRESSES, SimulatedRedis
from tests.simulation.worker import PACING, Worker
from tests.simulation.world import MS, START_US, S, World

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
ONLY = os.environ.get("SIMULATION_SEED")
FAULTS_US = 6 * S
"""How long faults happen; then the queue must drain."""

DRAIN_US = 30 * S
USERS, TRADERS = ("u1", "u2"), ("t1", "t2")
BULK_SHARE = 0.4
KIND_SHARE = 0.6
"""Share of the kinds of faults that a history has."""

MAX_LOST = 4
"""Lost deliveries below which no change counts as poison (`decide.MAX_LOST_DELIVERIES`): stalls are not kills."""


class Simulation:
    """One history."""

    def __init__(self, redis: SimulatedRedis, seed: int) -> None:
        redis.flush()
        self.redis = redis
        self.chance = random.Random(seed)  # noqa: S311 - not for secrets
        self.world = World(redis, self.chance, lost_share=self.chance.choice([0.0, 0.02, 0.1]))
        self.world.wake = self._wake
        self.loses = self.world.lost_share > 0
        self.numbers: dict[str, int] = {}
        self.lanes: dict[str, list[str]] = {}
        self.bulk: dict[str, bool] = {}
        self.cancelled: set[str] = set()
        self.workers: list[Worker] = []
        self.kills = self.stops = 0
        self.started = 0
        self.egresses = EGRESSES[: self.chance.choice([1, 2])]
        for egress in self.chance.choice([1, 2, 3]) * self.egresses:
            self._start_worker(egress)
        for number in range(self.chance.choice([10, 30, 90])):
            self.world.at(START_US + self.chance.randint(0, FAULTS_US), lambda number=number: self._submit(number))  # type: ignore[misc]
        for kind, most in self._faults():
            for _ in range(self.chance.randint(0, most)):
                self.world.at(START_US + self.chance.randint(0, FAULTS_US), kind)
        self.world.at(START_US + FAULTS_US, self._end_faults)

    def _faults(self) -> list[tuple[Callable[[], None], int]]:
        """Return the kinds of faults of this history, each with how often it happens at most."""
        kinds: list[tuple[Callable[[], None], int]] = [
            (self._kill, 4),
            (self._stop, 4),
            (self._stall_redis, 2),
            (self._pause, 3),
            (self._cancel, 6),
            (self._pin, 8),
        ]
        return [kind for kind in kinds if self.chance.random() < KIND_SHARE]

    def _start_worker(self, egress: str) -> None:
        self.started += 1
        self.workers.append(Worker(self.world, f"w{self.started}x", egress, self.numbers.__getitem__))

    def _alive(self, egress: str = ANY) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive and egress in (ANY, worker.egress)]

    def _wake(self, egresses: list[str]) -> None:
        for egress in egresses:
            if workers := self._alive(egress):
                worker = self.chance.choice(workers)
                self.world.after(MS, worker.claim)

    def _submit(self, number: int) -> None:
        user, trader = self.chance.choice(USERS), self.chance.choice(TRADERS)
        job_id, lane = f"j{number}", f"{user}:{trader}"
        queued = self.lanes.setdefault(lane, [])
        self.numbers[job_id] = len(queued)
        queued.append(job_id)
        change = ChangeRow(user, trader, job_id, 1, "", "")
        is_bulk = self.bulk[job_id] = self.chance.random() < BULK_SHARE
        request = SubmitRequest(1000, int(is_bulk), 0, "", "", "", "", "", "", "100", 0, "", [change])
        reply, woken = self.redis.run(SUBMIT, [encode(request), b"payload"], self.world.now_us)
        assert reply[1] >= 1
        self._wake(woken)

    def _cancel(self) -> None:
        lanes = [lane for lane, queued in self.lanes.items() if queued]
        if not lanes:
            return
        lane = self.chance.choice(lanes)
        job_id = self.chance.choice(self.lanes[lane])
        entries = [entry(job_id, is_bulk=self.bulk[job_id], is_coalescable=False)]
        history = self.redis.values(KEYS.attempts + lane).get(b"history")
        arguments: list[str | bytes | int | float] = [b"bytes", *([history] if history else [])]
        row = CancelRow(lane, job_id, entries, 2 if history else 0, 1)
        request = CancelRequest(600_000, [row])
        (verdict,), woken = self.redis.run(CANCEL, [encode(request), *arguments], self.world.now_us)
        if verdict == CancelVerdict.CANCELLED:
            self.cancelled.add(job_id)
        self._wake(woken)

    def _kill(self) -> None:
        worker = self.chance.choice(self._alive())
        worker.kill()
        self.kills += 1
        self.world.after(self.chance.randint(0, S), lambda: self._start_worker(worker.egress))
        if not self._alive(worker.egress):
            self._start_worker(worker.egress)

    def _stop(self) -> None:
        self.stops += 1
        self.chance.choice(self._alive()).stop(self.chance.choice([0.3, 1.5, 2.5, 4.0]))

    def _stall_redis(self) -> None:
        self.world.stalled_until_us = self.world.now_us + self.chance.choice([300 * MS, S, 3 * S])

    def _pause(self) -> None:
        trader, user = self.chance.choice(TRADERS), self.chance.choice(USERS)
        scope = self.chance.choice([f"trader:{trader}", f"user:{user}"])
        client = self.redis.client
        client.hset(KEYS.paused, scope, "1")
        if scope.startswith("trader:"):
            client.srem(KEYS.resuming, trader)
        self.world.after(self.chance.randint(0, 2 * S), lambda: self._resume(scope))

    def _resume(self, scope: str) -> None:
        kind, _, name = scope.partition(":")
        if kind == "trader":
            client = self.redis.client
            client.hdel(KEYS.paused, scope)
            client.sadd(KEYS.resuming, name)  # the caller may die here: workers go on
            if self.chance.random() < 0.5:
                self.redis.run(RESUME, [encode(ResumeRequest(1))], self.world.now_us)
        else:
            self.redis.run(WAKE, [encode(WakeRequest([name], resumes=1))], self.world.now_us)
        self._wake([*self.egresses])

    def _pin(self) -> None:
        """Pin a user, or unpin it."""
        row = PinRow(self.chance.choice(USERS), self.chance.choice([ANY, *self.egresses]))
        _, woken = self.redis.run(PIN, [encode(PinRequest([row]))], self.world.now_us)
        self._wake(woken)

    def _end_faults(self) -> None:
        self.world.lost_share = 0.0

    def finished(self) -> int:
        """Return how many changes have an outcome."""
        return sum(map(int, self.redis.values(KEYS.counts).values()))

    def run(self) -> None:
        """Let it happen, and check it."""
        total = [-1]

        def is_over() -> bool:
            if self.world.now_us < START_US + FAULTS_US + 2 * S or self.world.now_us // (100 * MS) == total[0]:
                return False
            total[0] = self.world.now_us // (100 * MS)
            return self.finished() >= len(self.numbers)

        self.world.run(START_US + FAULTS_US + DRAIN_US, is_over)
        self._check_finished()
        self._check_pace()
        self._check_order()
        if not self.kills and not self.stops and not self.loses:
            assert all(worker.sessions == 1 for worker in self.workers), "a Redis that stood still took lanes away"

    def _check_finished(self) -> None:
        """Check that every change has one outcome, and that nothing is left behind."""
        counts = {name.decode(): int(count) for name, count in self.redis.values(KEYS.counts).items()}
        assert sum(counts.values()) == len(self.numbers), "each change ends, and once"
        assert counts.get("cancelled", 0) == len(self.cancelled)
        assert not self.redis.keys(KEYS.heads)
        assert not self.redis.keys(KEYS.rest)
        assert max((worker.max_lost for worker in self.workers), default=0) <= max(MAX_LOST, self.kills)

    def _check_pace(self) -> None:
        """Check each window of a second, as the exchange sees it."""
        for user, arrivals in self.world.arrivals.items():
            ordered = sorted(arrivals)
            for first, eleventh in zip(ordered, ordered[PACING.per_window :], strict=False):
                assert eleventh - first >= S, f"{PACING.per_window + 1} requests of {user} within a second"

    def _check_order(self) -> None:
        """Check that no older value overwrote a newer one."""
        for lane in self.lanes:
            applied = sorted((each for each in self.world.applied if each.lane == lane), key=lambda each: each.at_us)
            for earlier, later in pairwise(applied):
                assert earlier.number <= later.number, f"lane {lane}: {earlier.number} and then {later.number}"


@pytest.fixture(scope="module")
def simulated(valkey_server: str) -> Iterator[SimulatedRedis]:
    """The server; what runs on it does not depend on its clock."""
    with Redis.from_url(valkey_server) as client:
        yield SimulatedRedis(client)
        client.flushall()


@pytest.mark.parametrize("first", range(0, SEEDS, 50) if ONLY is None else [int(ONLY)])
def test_no_history_breaks_an_invariant(simulated: SimulatedRedis, first: int) -> None:
    """Each change ends once and in order, and no user exceeds its limit; a failing seed is named."""
    for seed in range(first, first + (50 if ONLY is None else 1)):
        try:
            Simulation(simulated, seed).run()
        except AssertionError as exc:
            raise AssertionError(f"SIMULATION_SEED={seed}: {exc}") from exc
