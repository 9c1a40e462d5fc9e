"""What this project's worker is to reach beside its peers, judged from a report. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.bench.peers.report import BARE, OURS, Load, Report, Spread

DRAIN, RATE = "drain", "rate_per_s"
IDLE, ARRIVAL = "idle", "arrival_p50_ms"
LIMITED, THROTTLED, INVERSIONS, NEIGHBOURS = "limited", "throttled", "inversions", "neighbours_p99_ms"
"""Loads and figures by their names in the report."""

MIN_LEAD = 2.5
MAX_BEHIND_PERCENT = 10
MAX_NEIGHBOURS_MS = 1_000
"""A user with five changes at 10 a second is done after 0.5 s; who waits longer waits for another user."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        name: by which a person gives the reason for missing it.
        title: what is to be reached.
        measured: what was reached, in words.
        met: whether that is enough; None if it was not measured.
    """

    name: str
    title: str
    measured: str
    met: bool | None


def goals(report: Report) -> list[Goal]:
    """Return the goals as a report meets them."""
    titles = {program.name: program.title for program in report.programs}
    loads = {load.name: load for load in report.loads}
    limited = [load for name, load in loads.items() if name.split("-")[0] == LIMITED]
    return [
        _drain(_medians(loads.get(DRAIN), RATE), titles),
        _idle(_medians(loads.get(IDLE), ARRIVAL), titles),
        _limited(limited, titles),
    ]


def _drain(rates: Mapping[str, float], titles: Mapping[str, str]) -> Goal:
    """Judge by the fastest peer."""
    title = f"drain: at least {MIN_LEAD:g} times the rate of every peer"
    peers = {name: rate for name, rate in rates.items() if name not in (OURS, BARE)}
    if OURS not in rates or not peers:
        return Goal(DRAIN, title, "not measured", None)
    best = max(peers, key=peers.__getitem__)
    lead = rates[OURS] / peers[best]
    return Goal(DRAIN, title, f"{lead:.2f} times the rate of {titles[best]}", lead >= MIN_LEAD)


def _idle(arrivals_ms: Mapping[str, float], titles: Mapping[str, str]) -> Goal:
    """Judge by the quickest peer."""
    title = f"idle: first in enqueue to arrival, or within {MAX_BEHIND_PERCENT} % of the first"
    peers = {name: arrival_ms for name, arrival_ms in arrivals_ms.items() if name not in (OURS, BARE)}
    if OURS not in arrivals_ms or not peers:
        return Goal(IDLE, title, "not measured", None)
    best = min(peers, key=peers.__getitem__)
    measured = f"{arrivals_ms[OURS]:.1f} ms; {titles[best]} {peers[best]:.1f} ms"
    return Goal(IDLE, title, measured, arrivals_ms[OURS] <= peers[best] * (1 + MAX_BEHIND_PERCENT / 100))


def _limited(loads: list[Load], titles: Mapping[str, str]) -> Goal:
    """Judge by the worst round of each program, in all loads with limits."""
    title = "limited: alone without a 429, without an inversion of order and without a blocked neighbour"
    clean: dict[str, bool] = {}
    for load in loads:
        for row in load.rows:
            if row.program != BARE:
                clean[row.program] = clean.get(row.program, True) and _is_clean(row.figures)
    if OURS not in clean:
        return Goal(LIMITED, title, "not measured", None)
    names = [titles[name] for name, is_clean in clean.items() if is_clean]
    measured = f"without any: {', '.join(names) or 'none'}"
    return Goal(LIMITED, title, measured, [name for name, is_clean in clean.items() if is_clean] == [OURS])


def _is_clean(figures: Mapping[str, Spread]) -> bool:
    limits = {THROTTLED: 0, INVERSIONS: 0, NEIGHBOURS: MAX_NEIGHBOURS_MS}
    return all(name in figures and figures[name].high <= limit for name, limit in limits.items())


def _medians(load: Load | None, figure: str) -> dict[str, float]:
    """Return the median of a figure for each program that has it."""
    if load is None:
        return {}
    return {row.program: row.figures[figure].median for row in load.rows if figure in row.figures}
