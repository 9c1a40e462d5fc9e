"""Counters, gauges and histograms of one process: plain numbers, without locks, clocks or I/O.

One event loop fills them where things happen, at the cost of a look-up. `producers/monitor/exposition.py` writes them
when they are scraped. No label names a user, a trader, a lane, a job or a batch: their number has no bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

Labels = tuple[str, ...]


class Family:
    """A metric with its labels.

    Attributes:
        name: its name, with its unit.
        documentation: what it says, in a line.
        label_names: the names of its labels.
    """

    def __init__(self, name: str, documentation: str, label_names: Labels) -> None:
        self.name = name
        self.documentation = documentation
        self.label_names = label_names


class Counter(Family):
    """Numbers that only grow, one for each combination of labels.

    Attributes:
        values: the numbers, by their labels.
    """

    def __init__(self, name: str, documentation: str, *label_names: str) -> None:
        super().__init__(name, documentation, label_names)
        self.values: dict[Labels, int] = {} if label_names else {(): 0}

    def begin(self, *labels: str) -> None:
        """Show a number as 0 until it is added to, so that its first increase is one."""
        self.values.setdefault(labels, 0)

    def add(self, *labels: str, amount: int = 1) -> None:
        """Add to a number."""
        self.values[labels] = self.values.get(labels, 0) + amount


class Distribution:
    """Observed values by size.

    Attributes:
        counts: how many are in each bucket, the one above the last bound included; not cumulative.
        total: the sum of the values.
    """

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class Histogram(Family):
    """Distributions, one for each combination of labels.

    Attributes:
        bounds: the upper bounds of the buckets, each included in its bucket.
        distributions: the distributions, by their labels.
    """

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], *label_names: str) -> None:
        super().__init__(name, documentation, label_names)
        self.bounds = bounds
        self.distributions: dict[Labels, Distribution] = {}
        if not label_names:
            self.distributions[()] = Distribution(len(bounds) + 1)

    def observe(self, value: float, *labels: str) -> None:
        """Take note of a value."""
        found = self.distributions.get(labels)
        if found is None:
            found = self.distributions[labels] = Distribution(len(self.bounds) + 1)
        found.counts[bisect_left(self.bounds, value)] += 1
        found.total += value


class Gauge(Family):
    """Numbers that go up and down, one for each combination of labels.

    Attributes:
        readers: functions that return the numbers, by their labels; None for a number that is not known.
    """

    def __init__(self, name: str, documentation: str, *label_names: str) -> None:
        super().__init__(name, documentation, label_names)
        self.readers: dict[Labels, Callable[[], float | None]] = {}

    def watch(self, read: Callable[[], float | None], *labels: str) -> None:
        """Read the number by a function from now on, when it is scraped."""
        self.readers[labels] = read

    def set(self, value: float, *labels: str) -> None:
        """Set the number."""
        self.readers[labels] = lambda: value
