"""What was seen: by the producer that asked, by the workers' counters, and by the exchange. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from ops.demo.scenario import Planned
from ops.exchange import Arrival, Fault, Report
from ops.exchange.rules import SETTINGS
from producers import JobResult

Lane = tuple[str, str]
"""A user and a trader."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that the producer accepted, and its ID."""

    planned: Planned
    job_id: str

    @property
    def lane(self) -> Lane:
        """Its lane."""
        return self.planned.change.user_id, self.planned.change.trader_id


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that the producer refused, and why."""

    planned: Planned
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end.

    Attributes:
        faults: what was to go wrong.
        accepted: the changes that are in the queue, in the order in which they were accepted.
        refused: those that are not.
        results: how they ended, by job ID; what has not ended is not in it.
        counted: how many changes ended how, by the count that is kept in Redis.
        arrivals: what the exchange saw, request by request, in order.
        report: what the exchange saw, in figures.
        kept: the settings that the exchange holds: by user, then by trader, a list of settings in wire names.
        waited_ms: how long each passer-by waited, from asking to the result in hand, milliseconds.
    """

    faults: list[Fault]
    accepted: list[Accepted]
    refused: list[Refused]
    results: Mapping[str, JobResult]
    counted: Mapping[str, int]
    arrivals: list[Arrival]
    report: Report
    kept: Mapping[str, Mapping[str, list[dict[str, str]]]]
    waited_ms: list[float] = field(default_factory=list)

    def lanes(self) -> dict[Lane, list[Accepted]]:
        """The accepted changes by lane, each in the order of acceptance."""
        by_lane = sorted(self.accepted, key=lambda accepted: accepted.lane)
        return {lane: list(changes) for lane, changes in groupby(by_lane, key=lambda accepted: accepted.lane)}

    def values_seen(self, lane: Lane) -> list[str]:
        """The first trace value of each request that the exchange saw of a lane, in order of arrival."""
        return [
            arrival.values[0] if arrival.values else ""
            for arrival in self.arrivals
            if arrival.path == SETTINGS and (arrival.user, arrival.trader) == lane
        ]
