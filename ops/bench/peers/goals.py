"""What this project's worker is to reach beside its peers, judged from a report. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.bench.peers.lanes import BUSY_CHANGES, floor_s
from ops.bench.peers.report import NO_PEERS, OURS, OURS_64, Load, Report, Spread

DRAIN, RATE = "drain", "rate_per_s"
IDLE, ARRIVAL = "idle", "arrival_p50_ms"
LIMITED, THROTTLED, INVERSIONS, NEIGHBOURS = "limited", "throttled", "inversions", "neighbours_p99_ms"
LOST, OVER_FLOOR = "lost", "over_floor_s"
"""Loads and figures by their names in the report."""

MIN_LEAD = 2.5
MAX_BEHIND_PERCENT = 10
MAX_NEIGHBOURS_MS = 1_000
"""A user with five changes at 10 a second is done after 0.5 s; who waits longer waits for another user."""

MAX_OVER_FLOOR_S = floor_s(BUSY_CHANGES) / 10
"""Who sends more slowly meets no limit, and needs none of this."""

NOT_MEASURED = "not measured in full"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        name: by which a person gives the reason for missing it.
        title: what is to be reached.
        measured: what was reached, in words.
        met: whether that is enough; None if it was not measured in full, of this project and of each peer.
    """

    name: str
    title: str
    measured: str
    met: bool | None


def goals(report: Report) -> list[Goal]:
    """Return the goals as a report meets them."""
    titles = {program.name: program.title for program in report.programs}
    loads = {load.name: load for load in report.loads if not load.is_try}
    limited = [load for name, load in loads.items() if name.split("-")[0] == LIMITED]
    return [
        _drain(_spreads(loads.get(DRAIN), RATE), titles),
        _idle(_spreads(loads.get(IDLE), ARRIVAL), titles),
        _limited(limited, titles),
    ]


def _drain(rates: Mapping[str, Spread | None], titles: Mapping[str, str]) -> Goal:
    """Judge by the fastest peer."""
    title = f"drain: at least {MIN_LEAD:g} times the rate of every peer"
    ours, peers, absent = _split(rates, titles)
    if ours is None or not peers or absent:
        return Goal(DRAIN, title, absent or NOT_MEASURED, None)
    best = max(peers, key=lambda name: peers[name].median)
    pairs = ((ours.median, peers[best].median), (ours.low, peers[best].high), (ours.high, peers[best].low))
    lead, lowest, highest = (mine / theirs for mine, theirs in pairs)
    spread = f"{_cut(lowest)} (our slowest round, its fastest) to {_cut(highest)}"
    measured = f"{_cut(lead)} times the rate of {titles[best]}; {spread}"
    if few := rates.get(OURS_64):
        measured += f". With 64 at once {_cut(few.median / peers[best].median)} times"
    return Goal(DRAIN, title, measured, lead >= MIN_LEAD)


def _cut(number: float) -> str:
    """Return two decimals, cut off and not rounded: what is just below a goal does not read as the goal."""
    return f"{math.floor(100 * number) / 100:.2f}"


def _idle(arrivals_ms: Mapping[str, Spread | None], titles: Mapping[str, str]) -> Goal:
    """Judge by the quickest peer."""
    title = f"idle: first in enqueue to arrival, or within {MAX_BEHIND_PERCENT} % of the first"
    ours, peers, absent = _split(arrivals_ms, titles)
    if ours is None or not peers or absent:
        return Goal(IDLE, title, absent or NOT_MEASURED, None)
    best = min(peers, key=lambda name: peers[name].median)
    mine, theirs = (f"{each.median:.2f} ms ({each.low:.2f} to {each.high:.2f})" for each in (ours, peers[best]))
    measured = f"{mine}; {titles[best]} {theirs}"
    return Goal(IDLE, title, measured, ours.median <= peers[best].median * (1 + MAX_BEHIND_PERCENT / 100))


def _limited(loads: list[Load], titles: Mapping[str, str]) -> Goal:
    """Judge by the worst round of each program, in all loads with limits."""
    title = (
        "limited: the only program with no 429, no change out of order, none lost, others' p99 of "
        f"{MAX_NEIGHBOURS_MS / 1000:g} s at most, and {MAX_OVER_FLOOR_S:g} s over the floor at most"
    )
    rows = [row for load in loads for row in load.rows]
    programs = list(dict.fromkeys(row.program for row in rows))
    absent = _without_figures([row.program for row in rows if not row.figures], titles)
    if OURS not in programs or len(programs) == 1 or absent:
        return Goal(LIMITED, title, absent or NOT_MEASURED, None)
    clean = [name for name in programs if all(_is_clean(row.figures) for row in rows if row.program == name)]
    measured = f"all five: {', '.join(titles[name] for name in clean) or 'none'}"
    return Goal(LIMITED, title, measured, clean == [OURS])


def _is_clean(figures: Mapping[str, Spread]) -> bool:
    limits = {THROTTLED: 0, INVERSIONS: 0, LOST: 0, NEIGHBOURS: MAX_NEIGHBOURS_MS, OVER_FLOOR: MAX_OVER_FLOOR_S}
    return all(name in figures and figures[name].high <= limit for name, limit in limits.items())


def _spreads(load: Load | None, figure: str) -> dict[str, Spread | None]:
    """Return a figure of each program; None where it has none, because it failed."""
    return {row.program: row.figures.get(figure) for row in load.rows} if load else {}


def _split(
    spreads: Mapping[str, Spread | None], titles: Mapping[str, str]
) -> tuple[Spread | None, dict[str, Spread], str]:
    """Return our figure, those of the peers, and in words which peers have none."""
    peers = {name: spread for name, spread in spreads.items() if name not in NO_PEERS}
    absent = _without_figures([name for name, spread in peers.items() if spread is None], titles)
    return spreads.get(OURS), {name: spread for name, spread in peers.items() if spread}, absent


def _without_figures(names: Sequence[str], titles: Mapping[str, str]) -> str:
    return f"failed: {', '.join(titles[name] for name in names)}" if names else ""
