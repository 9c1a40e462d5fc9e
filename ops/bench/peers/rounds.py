"""Runs the loads in rounds: each program once, then each again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

from ops.bench.peers.contenders import Contender
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.report import BARE, Row, summarize
from ops.bench.peers.stage import IncompleteError

RATE, RATIO = "rate_per_s", "ratio"


def measure(plan: Plan, contenders: Sequence[Contender], rounds: int, jobs: int | None) -> list[Row]:
    """Run a load for some of its programs, and return what they reached.

    Args:
        plan: the load.
        contenders: of its programs.
        rounds: how often each runs.
        jobs: how many jobs, for tries; None for the load's own number.
    """
    measured: dict[Contender, list[Figures]] = {contender: [] for contender in contenders}
    failures: dict[Contender, list[str]] = {contender: [] for contender in contenders}
    for number, contender in order(contenders, rounds):
        print(f"measuring {plan.name}, round {number} of {rounds}: {contender.name}", file=sys.stderr)
        try:
            figures = asyncio.run(plan.measure(contender, jobs))
        except IncompleteError as error:
            print(f"{contender.name} failed: {error}", file=sys.stderr)
            failures[contender].append(f"round {number}: {error}")
            figures = {}
        measured[contender].append(figures)
    bare = [figures for contender, runs in measured.items() if contender.name == BARE for figures in runs]
    return [
        Row(contender.name, summarize(with_ratios(runs, bare)), " ".join(failures[contender]))
        for contender, runs in measured.items()
    ]


def order(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """Yield the runs as they follow each other, each with the number of its round, from 1.

    All programs run once before one runs again, so that a change of the machine's speed meets all of them; every other
    round goes backwards, so that none always runs first.
    """
    for number in range(1, rounds + 1):
        for contender in contenders if number % 2 else reversed(contenders):
            yield number, contender


def with_ratios(runs: Sequence[Figures], bare: Sequence[Figures]) -> list[Figures]:
    """Add to each run with a rate its ratio to the rate of the bare loop in the same round.

    Args:
        runs: of a program, one a round; {} for one that failed.
        bare: of the bare loop, one a round; empty if it did not run.
    """
    rates = [figures.get(RATE) for figures in bare] or [None] * len(runs)
    return [
        figures | ({RATIO: figures[RATE] / rate} if rate and RATE in figures else {})
        for figures, rate in zip(runs, rates, strict=True)
    ]
