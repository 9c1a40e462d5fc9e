"""Time, the network to Redis, and the exchange. All of it follows from one random generator."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from producers.transport.scripts import Argument, Script
from tests.simulation.redis import SimulatedRedis

START_US = 1_790_000_000_000_000
S, MS = 1_000_000, 1_000
REQUEST_TIMEOUT_US = 2 * S
SLOW_SHARE = 0.05
"""Requests that the exchange applies late."""

NO_REPLY_SHARE = 0.04
"""Requests whose connection breaks after they were written."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A request that the exchange applied.

    Attributes:
        lane: its lane.
        number: the change's place in the lane.
        at_us: when it was applied.
    """

    lane: str
    number: int
    at_us: int


@dataclass
class World:
    """The simulated world.

    Attributes:
        redis: runs the scripts.
        chance: the only source of randomness.
        lost_share: the share of calls to Redis that are lost, while faults last.
        now_us: the time of all clocks.
        arrivals: of each user, when its requests arrived at the exchange.
        applied: what the exchange applied.
        wake: called with the egresses of which a script woke a worker.
    """

    redis: SimulatedRedis
    chance: random.Random
    lost_share: float = 0.0
    now_us: int = START_US
    stalled_until_us: int = 0
    arrivals: dict[str, list[int]] = field(default_factory=dict)
    applied: list[Applied] = field(default_factory=list)
    wake: Callable[[list[str]], None] = lambda _: None
    _events: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, time_us: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (max(time_us, self.now_us), next(self._order), action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do something later."""
        self.at(self.now_us + delay_us, action)

    def run(self, until_us: int, is_over: Callable[[], bool]) -> None:
        """Let time pass until something is over, or until a time."""
        while self._events and not is_over():
            time_us, _, action = heapq.heappop(self._events)
            if time_us > until_us:
                return
            self.now_us = time_us
            action()

    def between(self, low_us: int, high_us: int) -> int:
        """Return a random time."""
        return self.chance.randint(low_us, high_us)

    def call(
        self,
        script: Script,
        arguments: list[Argument],
        on_reply: Callable[[Any], None],
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a script over the network: the request, or the reply, may be lost or late, and Redis may stand still."""
        fate = self.chance.random()
        is_request_lost, is_reply_lost = fate < self.lost_share / 3, fate < self.lost_share
        late_us = self.between(0, 3 * S) if is_reply_lost and fate > self.lost_share * 2 / 3 else 0

        def execute() -> None:
            if self.now_us < self.stalled_until_us:
                self.at(self.stalled_until_us + self.between(0, 2 * MS), execute)
                return
            reply, woken = self.redis.run(script, arguments, self.now_us)
            self.wake(woken)
            if not is_reply_lost:
                self.after(self.between(100, 3 * MS), lambda: on_reply(reply))

        if is_reply_lost:
            self.after(500 * MS, on_error)
        if not is_request_lost:
            self.after(self.between(100, 3 * MS) + late_us, execute)

    def request(self, lane: str, number: int, on_end: Callable[[bool, int], None]) -> None:
        """Send a request to the exchange. `on_end` is told whether a reply came, and its round trip."""
        user = lane.partition(":")[0]
        sent_us = self.now_us
        arrived_us = sent_us + self.between(5 * MS, 60 * MS)
        slow_us = self.between(0, REQUEST_TIMEOUT_US - 100 * MS) if self.chance.random() < SLOW_SHARE else 0
        applied_us = arrived_us + slow_us
        replied_us = applied_us + self.between(5 * MS, 60 * MS)
        is_broken = self.chance.random() < NO_REPLY_SHARE
        self.at(arrived_us, lambda: self.arrivals.setdefault(user, []).append(arrived_us))
        self.at(applied_us, lambda: self.applied.append(Applied(lane, number, applied_us)))
        if is_broken:
            self.at(self.between(sent_us, arrived_us), lambda: on_end(False, 0))
        elif replied_us > sent_us + REQUEST_TIMEOUT_US:
            self.at(sent_us + REQUEST_TIMEOUT_US, lambda: on_end(False, 0))
        else:
            self.at(replied_us, lambda: on_end(True, replied_us - sent_us))
