"""`python -m ops.bench peers`: measure this project's worker and its peers, and write the figures as JSON."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from ops.bench.compare import PEERS, Run
from ops.bench.earlier_run import UnreadableRun, check_comparable, print_movements, read_run
from ops.bench.peers import machine
from ops.bench.peers.contenders import Contender
from ops.bench.peers.crash import CRASH
from ops.bench.peers.drain import DRAIN
from ops.bench.peers.idle import IDLE
from ops.bench.peers.limited import LIMITED_0MS, LIMITED_40MS
from ops.bench.peers.page import section
from ops.bench.peers.plan import Plan
from ops.bench.peers.publish import REPORT, is_published, publish
from ops.bench.peers.recording import OtherRunError, Recording
from ops.bench.peers.report import Load, Report
from ops.bench.peers.rounds import measure
from ops.bench.peers.scale import SCALE
from ops.bench.profiles import profiles
from ops.bench.throughput import USERS

PLANS: tuple[Plan, ...] = (DRAIN, IDLE, LIMITED_0MS, LIMITED_40MS, CRASH, SCALE)
PROFILE = "profile"
"""Among the loads; it measures our own worker only."""

DEFAULT_ROUNDS = 3
KEEPS = "default ops/bench/peers.json; loads that it has, and that are not measured now, are kept"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report, its page and its picture; return 1 if a program did not do all of its jobs, else 0.

    With `--page`, write the page and the picture of a report that is there instead. With `--compare`, say what moved
    against an earlier report; the exit status is 1 also if a figure of our own worker got worse beyond its spread.
    """
    parser = _parser()
    options = _parse(parser, arguments)
    try:
        old = read_run(options.compare) if options.compare else None
        if old:
            check_comparable(old, [PEERS])
        if options.page:
            publish(options.out)
            return 0
    except (UnreadableRun, OSError, msgspec.DecodeError) as exc:
        parser.error(str(exc))
    chosen = {plan: _chosen(plan, options) for plan in PLANS if _is_wanted(plan.name, options)}
    programs = _distinct(chosen.values())
    recording = Recording(options.out, Report(machine.describe(), [each.program() for each in programs], []))
    try:
        recording.resume()
    except (OSError, OtherRunError) as exc:
        parser.error(str(exc))
    for contender in programs:
        contender.make_environment()
    for plan, contenders in chosen.items():
        load = _measure(plan, contenders, options)
        recording.add(load)
        print(section(load, recording.report.programs))
    if _is_wanted(PROFILE, options) and not options.only:
        recording.add_profiles(asyncio.run(profiles(options.jobs or USERS)))
    publish(options.out)
    report = recording.report
    moved = print_movements(old, Run.of_report(report)) if old else 0
    return moved or int(any(row.note for load in report.loads for row in load.rows))


def _is_wanted(load: str, options: argparse.Namespace) -> bool:
    return not options.loads or load in options.loads


def _measure(plan: Plan, contenders: Sequence[Contender], options: argparse.Namespace) -> Load:
    """Run a load, and return it with what was different in this run."""
    date, commit = dt.datetime.now(dt.UTC).date().isoformat(), machine.commit()
    rows = measure(plan, contenders, options.rounds, options.jobs)
    about = plan.about
    if options.jobs:
        about += f" In this run: {options.jobs:,} jobs instead."
    if options.at_once and plan is DRAIN:
        about += f" In this run: peers have {options.at_once} jobs at once, unless they have their default."
    is_try, figures = _is_try(options), list(plan.figures)
    return Load(plan.name, plan.title, about, date, commit, options.rounds, figures, rows, is_try)


def _is_try(options: argparse.Namespace) -> bool:
    return bool(options.only or options.jobs or options.at_once)


def _chosen(plan: Plan, options: argparse.Namespace) -> list[Contender]:
    chosen = [each for each in plan.contenders if not options.only or each.name in options.only]
    return [replace(each, drain_at_once=options.at_once or each.drain_at_once) for each in chosen]


def _distinct(chosen: Iterable[Sequence[Contender]]) -> list[Contender]:
    """Return the programs of some loads, each once."""
    return list({contender.name: contender for contenders in chosen for contender in contenders}.values())


def _parser() -> argparse.ArgumentParser:
    loads = [*(plan.name for plan in PLANS), PROFILE]
    programs = [contender.name for contender in _distinct([plan.contenders for plan in PLANS])]
    parser = argparse.ArgumentParser(prog="python -m ops.bench peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help=f"default {DEFAULT_ROUNDS}")
    parser.add_argument("--out", type=Path, default=REPORT, metavar="FILE", help=KEEPS)
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page and the picture of FILE")
    parser.add_argument("--only", nargs="+", default=[], choices=programs, metavar="PROGRAM", help=", ".join(programs))
    parser.add_argument("--loads", nargs="+", default=[], choices=loads, metavar="LOAD", help=", ".join(loads))
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs of each load instead of its own number, for tries")
    parser.add_argument("--at-once", type=int, metavar="N", help="jobs at once of each peer in drain, for tries")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="say what moved against the FILE of an earlier run")
    return parser


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if options.page:
        return options
    if options.rounds < 1:
        parser.error(f"--rounds must be 1 or more; got {options.rounds}")
    if options.at_once is not None and options.at_once < 1:
        parser.error(f"--at-once must be 1 or more; got {options.at_once}")
    if options.jobs is not None and options.jobs < 2:
        parser.error(f"--jobs must be 2 or more; got {options.jobs}")
    _check_file(parser, options)
    return options


def _check_file(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what would end with a report that is lost, or does not say what was measured."""
    if not options.out.parent.is_dir():
        parser.error(f"there is no folder {options.out.parent} to write {options.out.name} to")
    if is_published(options.out) and _is_try(options):
        parser.error("--only, --jobs and --at-once are for tries: name another file for their figures by --out")
    if options.at_once and not _is_wanted(DRAIN.name, options):
        parser.error("--at-once changes the load drain, which --loads does not name")
    for load in options.loads:
        if load != PROFILE and not any(plan.name == load and _chosen(plan, options) for plan in PLANS):
            parser.error(f"none of {', '.join(options.only)} is measured in {load}")
