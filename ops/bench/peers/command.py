"""`python -m ops.bench peers`: measure this project's worker and its peers, and write the figures as JSON."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ops.bench.compare import from_report
from ops.bench.earlier_run import UnreadableRun, print_movements, read_run
from ops.bench.peers import machine
from ops.bench.peers.contenders import Contender
from ops.bench.peers.drain import DRAIN
from ops.bench.peers.idle import IDLE
from ops.bench.peers.plan import Plan
from ops.bench.peers.publish import REPORT, publish
from ops.bench.peers.report import Report, encode
from ops.bench.peers.rounds import measure
from ops.bench.profiles import profiles
from ops.bench.throughput import USERS

PLANS: tuple[Plan, ...] = (DRAIN, IDLE)
DEFAULT_ROUNDS = 3


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report, and return the exit status: 1 if a program did not do all of its jobs.

    With `--page`, write the page and the picture of a report that is there instead. With `--compare`, say what moved
    against an earlier report; the exit status is 1 also if a figure of our own worker got worse beyond its spread.
    """
    parser = _parser()
    options = _parse(parser, arguments)
    try:
        old = read_run(options.compare)[0] if options.compare else []
        if options.page:
            publish(options.out)
            return 0
    except (UnreadableRun, OSError, msgspec.DecodeError) as exc:
        parser.error(str(exc))
    plans = [plan for plan in PLANS if not options.loads or plan.name in options.loads]
    chosen = {plan.name: _chosen(plan, options.only) for plan in plans}
    for contender in _distinct(chosen.values()):
        contender.command("work")  # makes its environment before the first measurement
    report = Report(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        rounds=options.rounds,
        machine=machine.describe(),
        programs=[contender.program() for contender in _distinct(chosen.values())],
        loads=[measure(plan, chosen[plan.name], options.rounds, options.jobs) for plan in plans],
        profiles=[] if options.only or options.loads else asyncio.run(profiles(options.jobs or USERS)),
    )
    options.out.write_bytes(encode(report))
    print(f"wrote {options.out}")
    if options.out == REPORT:
        publish()
    moved = print_movements(old, from_report(report)) if options.compare else 0
    return moved or int(any(not row.figures for load in report.loads for row in load.rows))


def _chosen(plan: Plan, only: Sequence[str]) -> list[Contender]:
    return [contender for contender in plan.contenders if not only or contender.name in only]


def _distinct(chosen: Iterable[Sequence[Contender]]) -> list[Contender]:
    return list(dict.fromkeys(contender for contenders in chosen for contender in contenders))


def _parser() -> argparse.ArgumentParser:
    loads = [plan.name for plan in PLANS]
    programs = [contender.name for contender in _distinct([plan.contenders for plan in PLANS])]
    parser = argparse.ArgumentParser(prog="python -m ops.bench peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help=f"default {DEFAULT_ROUNDS}")
    parser.add_argument("--out", type=Path, default=REPORT, metavar="FILE", help="default ops/bench/peers.json")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page and the picture of FILE")
    parser.add_argument("--only", nargs="+", default=[], choices=programs, metavar="PROGRAM", help=", ".join(programs))
    parser.add_argument("--loads", nargs="+", default=[], choices=loads, metavar="LOAD", help=", ".join(loads))
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs of each load instead of its own number, for tries")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="say what moved against the FILE of an earlier run")
    return parser


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be 1 or more; got {options.rounds}")
    if options.jobs is not None and options.jobs < 2:
        parser.error(f"--jobs must be 2 or more; got {options.jobs}")
    return options
