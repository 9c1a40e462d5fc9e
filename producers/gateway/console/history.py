"""The overviews of the last minutes: what charts show. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from producers import Outcome
from producers.monitor.overview_types import Overview, rates_per_s

MAX_SAMPLES = 300
"""Ten minutes, at one look every two seconds."""

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.5, 10.0
"""Looks that are closer count as one; rates over a longer time say nothing of now, and charts show a gap."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What charts show of one moment.

    Attributes:
        at_s: the moment, Unix seconds, Redis's clock.
        rates: changes that finished a second, by outcome, since the sample before; empty if that is long ago.
        use: requests a second of each egress, as `rates`.
        oldest_due_s: how long the first user has been due.
        due: how many users are due.
        paused_lanes: how many lanes wait for the end of a pause.
    """

    at_s: float
    rates: dict[str, float]
    use: dict[str, float]
    oldest_due_s: float
    due: int
    paused_lanes: int


@dataclass(slots=True)
class History:
    """The samples of the last minutes.

    Attributes:
        samples: the samples, oldest first.
    """

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    _last: Overview | None = None

    def add(self, overview: Overview) -> None:
        """Add an overview, unless it is hardly later than the one before."""
        rates, use = {}, {}
        if self._last is not None:
            passed_s = (overview.at_ms - self._last.at_ms) / 1000
            if passed_s < MIN_INTERVAL_S:
                return
            if passed_s <= MAX_INTERVAL_S:
                rates, use = rates_per_s(self._last, overview), _use_per_s(self._last, overview, passed_s)
        oldest_due_s = max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s)
        due = overview.interactive.due + overview.bulk.due
        self.samples.append(Sample(overview.at_ms / 1000, rates, use, oldest_due_s, due, overview.paused_lanes))
        self._last = overview

    @property
    def rates(self) -> dict[str, float]:
        """The changes that finished a second, by outcome, lately; empty if that is not known."""
        return self.samples[-1].rates if self.samples else {}

    @property
    def use_per_s(self) -> dict[str, float]:
        """The requests a second of each egress lately; an egress of which that is not known is missing."""
        return self.samples[-1].use if self.samples else {}

    def charts(self) -> list[dict[str, Any]]:
        """Return the charts, for the script that draws them. Nothing is drawn for times in which nobody looked."""
        shown: list[Sample | None] = []
        times: list[float] = []
        for sample in self.samples:
            if times and sample.at_s - times[-1] > MAX_INTERVAL_S:
                shown.append(None)
                times.append((times[-1] + sample.at_s) / 2)
            shown.append(sample)
            times.append(sample.at_s)

        def series(value: Callable[[Sample], float | None]) -> list[float | None]:
            return [None if sample is None else value(sample) for sample in shown]

        finished = {"applied": series(_applied_per_s), "others": series(_others_per_s)}
        waiting = {
            "users due": series(lambda sample: sample.due),
            "lanes paused": series(lambda sample: sample.paused_lanes),
        }
        return [
            _chart("Changes finished a second", times, finished),
            _chart("Users due, and lanes paused", times, waiting),
            _chart("Oldest due, seconds", times, {"seconds": series(lambda sample: sample.oldest_due_s)}),
        ]


def _use_per_s(earlier: Overview, later: Overview, passed_s: float) -> dict[str, float]:
    """Return the requests a second of each egress. A count that went down began anew, or slots were given back: 0."""
    before = {egress.name: egress.requests for egress in earlier.egresses}
    return {egress.name: max(0, egress.requests - before.get(egress.name, 0)) / passed_s for egress in later.egresses}


def _applied_per_s(sample: Sample) -> float | None:
    return sample.rates.get(Outcome.APPLIED, 0.0) if sample.rates else None


def _others_per_s(sample: Sample) -> float | None:
    return sum(sample.rates.values()) - sample.rates.get(Outcome.APPLIED, 0.0) if sample.rates else None


def _chart(title: str, times: list[float], series: dict[str, list[float | None]]) -> dict[str, Any]:
    rounded = [[None if value is None else round(value, 2) for value in values] for values in series.values()]
    return {"title": title, "points": {"names": list(series), "values": [[round(at, 1) for at in times], *rounded]}}
