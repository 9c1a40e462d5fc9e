"""Counters, gauges and histograms of one process. To add to one costs a look-up in a dictionary. No I/O.

`producers/monitor/exposition.py` writes them for Prometheus. Label values must be few and known: never users, traders,
lanes, jobs or batches. A series that an alert watches for its first count begins at 0: `counter.add("away", amount=0)`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

LabelValues = tuple[str, ...]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a histogram of durations: Prometheus's own, and from 1 ms on."""


class _Instrument:
    """A metric with its series, by the values of its labels. Without labels it has one series, from the start.

    Attributes:
        name: with its unit; a counter's ends in `_total`.
        meaning: the metric in a few words.
        labels: the names of its labels.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels


class Counter(_Instrument):
    """A count that only grows.

    Attributes:
        values: the count of each series.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self.values: dict[LabelValues, float] = {} if labels else {(): 0}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add to a series."""
        self.values[labels] = self.values.get(labels, 0) + amount


class Gauge(_Instrument):
    """A value that goes up and down.

    Attributes:
        values: the value of each series.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self.values: dict[LabelValues, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set the value of a series."""
        self.values[labels] = value


@dataclass(slots=True)
class Distribution:
    """One series of a histogram.

    Attributes:
        counts: how many values each bucket has, and after the last bound.
        total: the sum of all values.
    """

    counts: list[int]
    total: float = 0.0

    @property
    def cumulative(self) -> list[int]:
        """How many values each bucket and those below it have, as Prometheus counts; the last one is of all."""
        return list(accumulate(self.counts))


class Histogram(_Instrument):
    """Values by their size.

    Attributes:
        bounds: the upper bounds of its buckets, inclusive, in ascending order.
        series: the values of each series.
    """

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float] = SECONDS) -> None:
        super().__init__(name, meaning, *labels)
        self.bounds = tuple(bounds)
        self.series: dict[LabelValues, Distribution] = {}
        if not labels:
            self._begin(labels)

    def observe(self, value: float, *labels: str) -> None:
        """Count a value in a series."""
        series = self.series.get(labels) or self._begin(labels)
        series.counts[bisect_left(self.bounds, value)] += 1
        series.total += value

    def _begin(self, labels: LabelValues) -> Distribution:
        begun = self.series[labels] = Distribution([0] * (len(self.bounds) + 1))
        return begun


Instrument = Counter | Gauge | Histogram
