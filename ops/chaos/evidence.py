"""The ledgers as values: what producers were told, what the exchange saw, what results and counters say. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.chaos.journal import Cancelled, Hostile, Read
from ops.exchange import Arrival
from ops.exchange.rules import SETTINGS
from producers import JobResult

Lane = tuple[str, str]
"""A user and a trader."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change as its producer knows it.

    Attributes:
        job_id: its ID.
        user: whose.
        trader: of which trader.
        mark: its trace value.
        symbols: the pairs it sets.
        producer: who asked for it.
        step: in which call, a number of the producer's.
        place: in that call.
        asked_ns: when it was asked for first; the machine's monotonic clock.
        told_ns: when the producer was told that it is accepted; None if it never was, so that it may be or not.
        coalesces: whether it may be sent with others.
        is_bold: whether the exchange must refuse it.
        ttl_s: its deadline, if it has a short one.
        is_last: whether it was asked for after all trouble.
    """

    job_id: str
    user: str
    trader: str
    mark: str
    symbols: tuple[str, ...]
    producer: int
    step: int
    place: int
    asked_ns: int
    told_ns: int | None
    coalesces: bool = False
    is_bold: bool = False
    ttl_s: float | None = None
    is_last: bool = False

    @property
    def lane(self) -> Lane:
        """Its lane."""
        return self.user, self.trader

    def precedes(self, other: Change) -> bool:
        """Whether it is known to be accepted before another of its lane: it came before it in one call, or the producer
        was told of it before the other was asked for.
        """
        if (self.producer, self.step) == (other.producer, other.step):
            return self.place < other.place
        return self.told_ns is not None and self.told_ns < other.asked_ns


@dataclass(frozen=True, slots=True)
class BatchLedger:
    """What Redis says of a batch.

    Attributes:
        batch_id: the batch.
        total: how many changes it counts.
        in_flight: how many it takes for being sent.
        outcomes: its counters.
        complete: whether it says so.
        sealed: whether its producer said that nothing more comes.
        stream: job ID and outcome of each entry of its stream.
        ends: how many entries tell of its end.
    """

    batch_id: str
    total: int
    in_flight: int
    outcomes: Mapping[str, int]
    complete: bool
    sealed: bool
    stream: list[tuple[str, str]]
    ends: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A worker that stood still, by the machine's monotonic clock."""

    worker: str
    from_ns: int
    until_ns: int


@dataclass(slots=True)
class Evidence:
    """All that is known at the end.

    Attributes:
        start_ns: of the run, the machine's monotonic clock, as all times here.
        wall_lead_ns: how far the machine's time of day is ahead of that clock.
        lease_s: of the workers.
        request_timeout_s: of the workers.
        user_rate: requests that the exchange allows a user in any second.
        egress_per_min: requests that it allows an address in any minute.
        changes: what was asked for, by ID.
        results: how it ended, by ID; also of what nobody asked for.
        written: how often each result was written, by ID, as Redis's history has it.
        counted: changes that ended, by outcome, as Redis counts.
        unreadable: what workers dropped as no text, as Redis counts.
        batches: what Redis says of each.
        arrivals: what the exchange saw, in order.
        kept: the trace value that the exchange holds, by lane and symbol.
        left: keys that should be gone by now.
        read: what came out of batches' streams at their readers, by producer.
        read_all: batches that were read to their end, by producer.
        taken_back: what producers were told of taking back.
        hostile: what became of calls that must be refused.
        poison: job IDs that a foe wrote, each to end `rejected`.
        perhaps_poison: these, and those that it may have written.
        trapped: whether somebody unpickled.
        wrong_users: users whose keys were wrong for a while.
        stalls: of workers.
        lost: processes that ended though nobody ended them.
        surprises: errors that no caller was promised.
        fenced: settlements that were refused, for their lease was lost.
        leaks: secrets that were found.
        failed: what the run itself could not do.
        drained_s: how long the end took; None if it never came.
    """

    start_ns: int = 0
    wall_lead_ns: int = 0
    lease_s: float = 4.0
    request_timeout_s: float = 1.5
    user_rate: int = 10
    egress_per_min: int = 6000
    changes: dict[str, Change] = field(default_factory=dict)
    results: dict[str, JobResult] = field(default_factory=dict)
    written: Mapping[str, int] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0
    batches: list[BatchLedger] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    kept: Mapping[tuple[Lane, str], str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    read: Mapping[int, list[Read]] = field(default_factory=dict)
    read_all: Mapping[int, set[str]] = field(default_factory=dict)
    taken_back: list[Cancelled] = field(default_factory=list)
    hostile: list[Hostile] = field(default_factory=list)
    poison: list[str] = field(default_factory=list)
    perhaps_poison: set[str] = field(default_factory=set)
    trapped: bool = False
    wrong_users: set[str] = field(default_factory=set)
    stalls: list[Stall] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    fenced: int = 0
    leaks: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    drained_s: float | None = 0.0

    def lanes(self) -> dict[Lane, list[Change]]:
        """The changes by lane."""
        lanes: defaultdict[Lane, list[Change]] = defaultdict(list)
        for change in self.changes.values():
            lanes[change.lane].append(change)
        return lanes

    def carried(self) -> list[tuple[Arrival, list[Change]]]:
        """The requests for settings whose body could be read, each with the changes that it carried."""
        by_mark = {(change.lane, change.mark): change for change in self.changes.values()}
        found = []
        for arrival in self.arrivals:
            if arrival.path == SETTINGS and arrival.user and arrival.trader:
                lane = arrival.user, arrival.trader
                marks = dict.fromkeys(arrival.values)
                found.append((arrival, [by_mark[lane, mark] for mark in marks if (lane, mark) in by_mark]))
        return found

    def at(self, at_ns: int) -> str:
        """A time, for people."""
        return f"{(at_ns - self.start_ns) / 1e9:.3f} s"
