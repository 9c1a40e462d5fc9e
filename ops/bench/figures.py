"""What a benchmark says: figures with their targets. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: the figure.
        unit: its unit.
        target: what it must reach, in words.
        met: whether it did; None where there is no target.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


def at_least(name: str, value: float, unit: str, least: float) -> Figure:
    """A figure that must be so high."""
    return Figure(name, value, unit, f"at least {least:g}", value >= least)


def at_most(name: str, value: float, unit: str, most: float) -> Figure:
    """A figure that must not be higher."""
    return Figure(name, value, unit, f"at most {most:g}", value <= most)


def peak_in_window(at_ns: Sequence[int], window_ns: int = NS_PER_S) -> int:
    """The highest number of arrivals in any sliding window; arrivals exactly a window apart are not in one."""
    peak = first = 0
    ordered = sorted(at_ns)
    for last, now in enumerate(ordered):
        while now - ordered[first] >= window_ns:
            first += 1
        peak = max(peak, last - first + 1)
    return peak


def rate_per_s(at_ns: Sequence[int]) -> float:
    """Arrivals a second, from the first to the last."""
    return (len(at_ns) - 1) * NS_PER_S / (max(at_ns) - min(at_ns))


def jain_index(rates: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all are served alike, 1/n when one gets all (Jain, Chiu, Hawe, 1984)."""
    return sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
