"""What the checks judge, as values: changes, results, counters, and the requests that the exchange saw. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.exchange import Arrival
from ops.exchange.rules import SETTINGS_PATH
from producers import JobResult, SettingsChange

Lane = tuple[str, str]
"""A user and a trader."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change as its producer saw it. Times are nanoseconds of the machine's monotonic clock.

    Attributes:
        job_id: its ID.
        change: what it sets. The trace value is the same for all its settings and unique in its lane.
        call: the call that requested it, as a number of the producer and of the producer's call.
        position: its place in that call.
        requested_ns: when the producer requested it first.
        accepted_ns: when the producer was answered that it is accepted; None without an answer: it may be or not.
        coalesces: whether it may be sent together with others.
        must_be_rejected: whether the exchange must reject it.
        ttl_s: its deadline, if it has a short one.
        is_final: whether it was requested after all faults had ended.
    """

    job_id: str
    change: SettingsChange
    call: tuple[int, int] = (0, 0)
    position: int = 0
    requested_ns: int = 0
    accepted_ns: int | None = 1
    coalesces: bool = False
    must_be_rejected: bool = False
    ttl_s: float | None = None
    is_final: bool = False

    @property
    def lane(self) -> Lane:
        """Its lane."""
        return self.change.user_id, self.change.trader_id

    @property
    def trace_value(self) -> str:
        """The value by which a request at the exchange is matched to this change."""
        return self.change.settings[0].trace_value or ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs that it sets."""
        return tuple(setting.symbol for setting in self.change.settings)

    def __str__(self) -> str:
        return f"{self.job_id} of {self.change.user_id}, {self.change.trader_id}"

    def precedes(self, other: Change) -> bool:
        """Return whether it was certainly accepted before another one of its lane.

        Two changes of one call are ordered by their position. Otherwise the first one was accepted before the second
        one was requested; if the calls overlapped, the order is unknown.
        """
        if self.call == other.call:
            return self.position < other.position
        return self.accepted_ns is not None and self.accepted_ns < other.requested_ns


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which a worker was stopped by SIGSTOP; the machine's monotonic clock."""

    worker: str
    from_ns: int
    until_ns: int


@dataclass(slots=True)
class Evidence:
    """Everything that is known at the end of a run. Times are nanoseconds of the machine's monotonic clock.

    Attributes:
        start_ns: when the run started.
        wall_offset_ns: the wall clock minus the monotonic clock.
        session_ttl_s: the TTL of the workers' sessions.
        request_timeout_s: the workers' time-out.
        user_limit_per_s: requests of one user that the exchange allows in any second.
        address_limit_per_min: requests of one address that it allows in any minute.
        changes: all requested changes by job ID.
        results: all results by job ID.
        counters: finished changes by outcome, as Redis counts them.
        arrivals: the requests that the exchange saw, in order.
        final_settings: the setting that the exchange holds at the end, by lane and symbol, in wire names.
        misconfigured_users: users whose keys were wrong for a while.
        stalls: of workers.
    """

    start_ns: int = 0
    wall_offset_ns: int = 0
    session_ttl_s: float = 2.0
    request_timeout_s: float = 1.5
    user_limit_per_s: int = 10
    address_limit_per_min: int = 6000
    changes: dict[str, Change] = field(default_factory=dict)
    results: dict[str, JobResult] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    final_settings: Mapping[tuple[Lane, str], Mapping[str, str]] = field(default_factory=dict)
    misconfigured_users: set[str] = field(default_factory=set)
    stalls: list[Stall] = field(default_factory=list)

    def lanes(self) -> dict[Lane, list[Change]]:
        """Return the changes by lane."""
        lanes: defaultdict[Lane, list[Change]] = defaultdict(list)
        for change in self.changes.values():
            lanes[change.lane].append(change)
        return lanes

    def requests(self) -> list[tuple[Arrival, list[Change]]]:
        """Return the settings requests whose body could be read, each with the changes that it carried."""
        by_value = {(change.lane, change.trace_value): change for change in self.changes.values()}
        found = []
        for arrival in self.arrivals:
            if arrival.path == SETTINGS_PATH and arrival.user and arrival.trader:
                lane = arrival.user, arrival.trader
                values = dict.fromkeys(arrival.values)
                found.append((arrival, [by_value[lane, value] for value in values if (lane, value) in by_value]))
        return found

    def granted(self) -> set[str]:
        """Return the IDs of the changes that the exchange accepted in some request."""
        return {change.job_id for arrival, changes in self.requests() if arrival.accepted for change in changes}

    def outcome(self, job_id: str) -> str:
        """Return a change's outcome; "missing" without a result."""
        result = self.results.get(job_id)
        return "missing" if result is None else str(result.outcome)

    def clock(self, at_ns: int) -> str:
        """Return a time as seconds from the start, for messages."""
        return f"{(at_ns - self.start_ns) / 1e9:.3f} s"
