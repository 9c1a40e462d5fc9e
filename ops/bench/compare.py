"""What moved between two runs of benchmarks, beyond their spread. No I/O.

A figure moved if the two ranges, each from the lowest to the highest value of a run, do not overlap. By chance alone
one figure in ten does so with three values in each run, and one in 126 with five: half of them up, half of them down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from ops.bench.measurement import Measurement
from ops.bench.peers.report import HIGHER, LOWER, OUR_ROWS, Report, decode

PEERS = "peers"
"""The name of the peers' benchmark, which has a document of its own."""

NEITHER = ""
UNITS: dict[str, set[str]] = {
    HIGHER: {"changes/s", "results/s"},
    LOWER: {"ms", "s", "us a change", "a change", "bytes", "MiB", "MB"},
}
"""What is better for figures without a target. Other units say nothing of it: requests/s are those of the bare loop."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of benchmarks.

    Attributes:
        figures: what it measured.
        benchmarks: their names.
        machine: what it ran on, in words; "" if that is not known.
        loads: what was done in each load, by its name, if the run says so.
    """

    figures: list[Figure]
    benchmarks: list[str]
    machine: str = ""
    loads: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_measurements(cls, measurements: Sequence[Measurement]) -> Run:
        """Return a run of the usual benchmarks."""
        return cls(from_measurements(measurements), list(dict.fromkeys(each.benchmark for each in measurements)))

    @classmethod
    def of_report(cls, report: Report) -> Run:
        """Return a run of the peers' benchmark."""
        return cls(from_report(report), [PEERS], str(report.machine), {load.name: load.about for load in report.loads})

    def differing_loads(self, other: Run) -> list[str]:
        """Return the names of the loads in which another run did something else, such as more jobs."""
        return [name for name, done in self.loads.items() if other.loads.get(name, done) != done]

    def without(self, loads: Sequence[str]) -> list[Figure]:
        """Return the figures but those of some loads."""
        return [figure for figure in self.figures if figure.load not in loads]


class Verdict(StrEnum):
    """What became of a figure."""

    BETTER = "better"
    WORSE = "worse"
    MOVED = "moved"
    WITHIN = "within the spread"
    UNKNOWN = "no spread"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run.

    Attributes:
        name: by which the other run has it too.
        unit: its unit.
        better: whether a higher or a lower value is better; "" if neither, or if it is another program's.
        median: its value.
        low: its lowest value.
        high: its highest value.
        has_spread: whether it was measured several times.
        load: the load of the peers' benchmark that it is of; "" for other benchmarks.
    """

    name: str
    unit: str
    better: str
    median: float
    low: float
    high: float
    has_spread: bool
    load: str = ""


@dataclass(frozen=True, slots=True)
class Movement:
    """A figure of both runs."""

    old: Figure
    new: Figure

    @property
    def verdict(self) -> Verdict:
        """Return whether the figure moved, and whether that is for the better."""
        old, new = self.old, self.new
        if not (old.has_spread or new.has_spread):
            return Verdict.UNKNOWN
        if old.low <= new.high and new.low <= old.high:
            return Verdict.WITHIN
        if new.better == NEITHER:
            return Verdict.MOVED
        return Verdict.BETTER if (new.median > old.median) == (new.better == HIGHER) else Verdict.WORSE

    @property
    def percent(self) -> float | None:
        """Return the change in percent of the earlier value; None if that was 0."""
        return 100 * (self.new.median / self.old.median - 1) if self.old.median else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs.

    Attributes:
        movements: the figures of both, in the order of the new run.
        missing: the names of figures that only the earlier run has.
        added: the names of figures that only the new run has.
    """

    movements: list[Movement]
    missing: list[str]
    added: list[str]

    def count(self, verdict: Verdict) -> int:
        """Return how many figures have a verdict."""
        return sum(movement.verdict is verdict for movement in self.movements)


def compare(old: Sequence[Figure], new: Sequence[Figure]) -> Comparison:
    """Compare an earlier run with a new one; figures are the same if their names are."""
    old_by_name, new_by_name = ({figure.name: figure for figure in figures} for figures in (old, new))
    return Comparison(
        [Movement(old_by_name[name], figure) for name, figure in new_by_name.items() if name in old_by_name],
        [name for name in old_by_name if name not in new_by_name],
        [name for name in new_by_name if name not in old_by_name],
    )


def from_measurements(measurements: Sequence[Measurement]) -> list[Figure]:
    """Return the figures of the usual benchmarks."""
    figures = []
    for each in measurements:
        low, high = (each.value if end is None else end for end in (each.low, each.high))
        has_spread = each.low is not None
        figures.append(Figure(each.name, each.unit, _better(each), each.value, low, high, has_spread))
    return figures


def from_report(report: Report) -> list[Figure]:
    """Return the figures of the peers' benchmark; only those of our own worker can get better or worse."""
    return list(_of_report(report))


def _of_report(report: Report) -> Iterator[Figure]:
    for load in report.loads:
        for figure in load.figures:
            for row in load.rows:
                if figure.name in row.figures:
                    spread = row.figures[figure.name]
                    yield Figure(
                        f"{load.name}: {row.program}: {figure.name}",
                        "",
                        figure.better if row.program in OUR_ROWS else NEITHER,
                        spread.median,
                        spread.low,
                        spread.high,
                        has_spread=load.rounds > 1,
                        load=load.name,
                    )


def parse(document: bytes) -> Run:
    """Return a run, from its JSON lines or the peers' document.

    Raises:
        msgspec.DecodeError: it is neither.
    """
    try:
        measurements = msgspec.json.Decoder(Measurement).decode_lines(document)
    except msgspec.DecodeError:
        return Run.of_report(decode(document))
    return Run.of_measurements(measurements)


def _better(measurement: Measurement) -> str:
    """Return what is better: as the target says, or else as figures with that unit are."""
    for better, start in ((HIGHER, "at least"), (LOWER, "at most")):
        if measurement.target.startswith(start) or (not measurement.target and measurement.unit in UNITS[better]):
            return better
    return NEITHER
