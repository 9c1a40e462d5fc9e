"""What the queue is doing, for people who watch: figures of one moment. No I/O."""

from __future__ import annotations

import msgspec

from producers.contract.messages import Priority
from producers.monitor.worker_info import WorkerInfo
from producers.queue.pauses import Pause

_MS_PER_S = 1000


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what an overview is made of."""


class ScheduleLoad(Struct, frozen=True, kw_only=True):
    """One of the two schedules.

    Attributes:
        lanes: how many lanes are on it.
        due: how many may be claimed now.
        oldest_due_s: how long the first of them has waited past its time; 0 when none is due.
    """

    lanes: int
    due: int
    oldest_due_s: float


class EgressStatus(Struct, frozen=True, kw_only=True):
    """One egress IP.

    Attributes:
        name: its name.
        workers: how many worker processes are behind it.
        rate_per_s: what its workers are set to, the highest; None if there are none.
        backlog_s: how far its bucket is ahead of now. From 0.1 (its burst) on, its limit is what lanes wait for.
        hold_s: nothing is sent for so long yet; 0 without a hold.
        trouble: "failing" or "refused <code>": its breaker is open, one request at a time probes; None if it is closed.
        probe_in_s: when the next probe goes out; 0 if it may now, or without a trouble.
        floor_ms: the shortest round trip to the exchange of the last minutes; None before there was any.
        paused: whether it is paused.
    """

    name: str
    workers: int
    rate_per_s: float | None
    backlog_s: float
    hold_s: float
    trouble: str | None
    probe_in_s: float
    floor_ms: float | None
    paused: bool


class NextLane(Struct, frozen=True, kw_only=True):
    """A lane that is among the first to come due.

    Attributes:
        user_id: its user.
        trader_id: its trader.
        priority: which schedule it is on.
        queued: how many changes it holds, the one in flight included.
        due_in_s: below 0 it waits since then; of one in flight, until its lease ends.
        in_flight: whether a worker has its head in hand.
        hold_s: nothing of its user is sent for so long yet; 0 without a hold.
        rate_per_s: its user's own rate; None without one.
        paused: whether its user or its trader is paused.
    """

    user_id: str
    trader_id: str
    priority: Priority
    queued: int
    due_in_s: float
    in_flight: bool
    hold_s: float
    rate_per_s: float | None
    paused: bool


class Overview(Struct, frozen=True, kw_only=True):
    """The queue at one moment.

    Attributes:
        at_ms: the moment, Unix milliseconds, Redis's clock.
        interactive: lanes with an interactive change.
        bulk: lanes with bulk changes only.
        lanes: lanes that are not empty.
        outcomes: how many changes ended so since the queue exists; every outcome is there.
        unreadable: how many things in Redis no worker could read.
        dead: how many dead letters are kept, by outcome; those that expired of late may be counted yet.
        pauses: those in force, oldest first; at most 100, the one of everything always.
        pauses_total: how many there are.
        overrides: how many users have a rate of their own.
        refused: how many users are stopped, since their keys were refused.
        batches: how many are kept.
        workers: those alive, by egress and name; at most 200.
        workers_total: how many there are.
        egresses: those of the workers, and those used of late, by name.
        next_lanes: the first to come due over both schedules, soonest first; at most 20.
    """

    at_ms: int
    interactive: ScheduleLoad
    bulk: ScheduleLoad
    lanes: int
    outcomes: dict[str, int]
    unreadable: int
    dead: dict[str, int]
    pauses: list[Pause]
    pauses_total: int
    overrides: int
    refused: int
    batches: int
    workers: list[WorkerInfo]
    workers_total: int
    egresses: list[EgressStatus]
    next_lanes: list[NextLane]

    @property
    def ended(self) -> int:
        """How many changes ended, since the queue exists."""
        return sum(self.outcomes.values())

    @property
    def in_hand(self) -> int:
        """How many changes the listed workers had in hand at their last beats."""
        return sum(worker.in_hand for worker in self.workers)


def rates_per_s(earlier: Overview, later: Overview) -> dict[str, float]:
    """How many changes ended so, a second, between two moments; 0 where a count went down (a flushed Redis)."""
    passed_s = (later.at_ms - earlier.at_ms) / _MS_PER_S
    grown = {name: max(0, count - earlier.outcomes.get(name, 0)) for name, count in later.outcomes.items()}
    return {name: count / passed_s if passed_s > 0 else 0.0 for name, count in grown.items()}
