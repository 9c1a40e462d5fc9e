"""The overviews of the last minutes: what charts show. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from producers import Outcome
from producers.monitor.overview_types import Overview, rates_per_s

MAX_SAMPLES = 300
"""Ten minutes, at one look every two seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What charts show of one moment.

    Attributes:
        at_s: the moment, Unix seconds, Redis's clock.
        rates: changes that finished a second, by outcome, since the sample before.
        oldest_due_s: how long the first user has been due.
        due: how many users are due.
        paused_lanes: how many lanes wait for the end of a pause.
    """

    at_s: float
    rates: dict[str, float]
    oldest_due_s: float
    due: int
    paused_lanes: int


@dataclass(slots=True)
class History:
    """The samples of the last minutes, and the use of each egress.

    Attributes:
        samples: the samples, oldest first.
    """

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    _last: Overview | None = None
    _beats: dict[str, tuple[int, int, float]] = field(default_factory=dict)

    def add(self, overview: Overview) -> None:
        """Add an overview, which is later than those before."""
        rates = {} if self._last is None else rates_per_s(self._last, overview)
        oldest_due_s = max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s)
        due = overview.interactive.due + overview.bulk.due
        self.samples.append(Sample(overview.at_ms / 1000, rates, oldest_due_s, due, overview.paused_lanes))
        self._last = overview
        self._note_beats(overview)

    def use_per_s(self, overview: Overview) -> dict[str, float]:
        """Return the attempts a second of each egress, between the last two announcements of each of its workers."""
        use: dict[str, float] = {}
        for worker in overview.workers:
            *_, rate = self._beats.get(worker.name, (0, 0, 0.0))
            use[worker.egress] = use.get(worker.egress, 0.0) + rate
        return use

    @property
    def rates(self) -> dict[str, float]:
        """The changes that finished a second, by outcome, lately."""
        return self.samples[-1].rates if self.samples else {}

    def charts(self) -> list[dict[str, Any]]:
        """Return the charts, for the script that draws them."""
        times = [sample.at_s for sample in self.samples]
        applied = [sample.rates.get(Outcome.APPLIED, 0.0) for sample in self.samples]
        others = [sum(sample.rates.values()) - sample.rates.get(Outcome.APPLIED, 0.0) for sample in self.samples]
        waiting = {
            "users due": [sample.due for sample in self.samples],
            "lanes paused": [sample.paused_lanes for sample in self.samples],
        }
        oldest = [sample.oldest_due_s for sample in self.samples]
        return [
            _chart("Changes finished a second", times, {"applied": applied, "others": others}),
            _chart("Users due, and lanes paused", times, waiting),
            _chart("Oldest due, seconds", times, {"seconds": oldest}),
        ]

    def _note_beats(self, overview: Overview) -> None:
        beats: dict[str, tuple[int, int, float]] = {}
        for worker in overview.workers:
            attempts = worker.ended + worker.requeued
            beat_at_ms, before, rate = self._beats.get(worker.name, (worker.started_at_ms, 0, 0.0))
            if worker.beat_at_ms > beat_at_ms:
                rate = max(0, attempts - before) * 1000 / (worker.beat_at_ms - beat_at_ms)
            beats[worker.name] = (worker.beat_at_ms, attempts, rate)
        self._beats = beats


def _chart(title: str, times: list[float], series: dict[str, list[Any]]) -> dict[str, Any]:
    rounded = [[round(value, 2) for value in values] for values in series.values()]
    return {"title": title, "points": {"names": list(series), "values": [[round(at, 1) for at in times], *rounded]}}
