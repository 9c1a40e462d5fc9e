"""Measurements with their targets, and the statistics behind them. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured value.

    Attributes:
        name: what was measured.
        value: the value; the median if it was measured several times.
        unit: its unit.
        target: the target in words.
        met: whether the target was met; None without one.
        benchmark: the name of the benchmark.
        low: the lowest value of several; None if it was measured once.
        high: the highest.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    benchmark: str = ""
    low: float | None = None
    high: float | None = None


def at_least(name: str, value: float, unit: str, minimum: float) -> Measurement:
    """Return a measurement whose target is a minimum."""
    return Measurement(name, value, unit, f"at least {minimum:g}", value >= minimum)


def at_most(name: str, value: float, unit: str, maximum: float) -> Measurement:
    """Return a measurement whose target is a maximum."""
    return Measurement(name, value, unit, f"at most {maximum:g}", value <= maximum)


def merge(benchmark: str, repeats: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """Return what a benchmark measured in all of its repeats: of each figure the median, and the spread.

    Of an even number the median is the lower of the two in the middle, so that it is judged as it was measured.

    Raises:
        ValueError: two figures of one repeat have the same name, so that they could not be told apart.
    """
    by_name: dict[str, list[Measurement]] = {}
    for repeat in repeats:
        if len({measurement.name for measurement in repeat}) < len(repeat):
            raise ValueError(f"two figures of the benchmark {benchmark} have the same name")
        for measurement in repeat:
            by_name.setdefault(measurement.name, []).append(measurement)
    return [_merge(benchmark, sorted(each, key=lambda one: one.value)) for each in by_name.values()]


def _merge(benchmark: str, ordered: Sequence[Measurement]) -> Measurement:
    median = ordered[(len(ordered) - 1) // 2]
    if len(ordered) == 1:
        return replace(median, benchmark=benchmark)
    return replace(median, benchmark=benchmark, low=ordered[0].value, high=ordered[-1].value)


def peak_in_window(at_ns: Sequence[int], window_ns: int = NS_PER_S) -> int:
    """Return the highest number of arrivals in any sliding window; two exactly a window apart are not in the same."""
    peak = first = 0
    ordered = sorted(at_ns)
    for last, now in enumerate(ordered):
        while now - ordered[first] >= window_ns:
            first += 1
        peak = max(peak, last - first + 1)
    return peak


def rate_per_s(at_ns: Sequence[int]) -> float:
    """Return the arrivals a second, from the first to the last."""
    return (len(at_ns) - 1) * NS_PER_S / (max(at_ns) - min(at_ns))


def jain_index(rates: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 for equal rates, 1/n when one has everything (Jain, Chiu, Hawe, 1984)."""
    return sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
