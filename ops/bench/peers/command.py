"""`python -m ops.bench peers`: measure this project's worker and its peers, and write the figures as JSON."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from ops.bench.compare import Run
from ops.bench.earlier_run import UnreadableRun, print_movements, read_run
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
from ops.bench.peers.report import Report
from ops.bench.peers.rounds import measure
from ops.bench.peers.scale import SCALE
from ops.bench.profiles import profiles
from ops.bench.throughput import USERS

PLANS: tuple[Plan, ...] = (DRAIN, IDLE, LIMITED_0MS, LIMITED_40MS, CRASH, SCALE)
PROFILE = "profile"
"""Among the loads; it measures our own worker only."""

DEFAULT_ROUNDS = 3


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report, its page and its picture; return 1 if a program did not do all of its jobs, else 0.

    With `--page`, write the page and the picture of a report that is there instead. With `--compare`, say what moved
    against an earlier report; the exit status is 1 also if a figure of our own worker got worse beyond its spread.
    """
    parser = _parser()
    options = _parse(parser, arguments)
    try:
        old = read_run(options.compare) if options.compare else None
        if options.page:
            publish(options.out)
            return 0
    except (UnreadableRun, OSError, msgspec.DecodeError) as exc:
        parser.error(str(exc))
    chosen = {plan: _chosen(plan, options) for plan in PLANS if _is_wanted(plan.name, options)}
    programs = _distinct(chosen.values())
    for contender in programs:
        contender.command("work")  # makes its environment before the first measurement
    recording = Recording(options.out, _begin(programs))
    try:
        if options.add:
            recording.resume()
    except (OSError, msgspec.DecodeError, OtherRunError) as exc:
        parser.error(str(exc))
    for plan, contenders in chosen.items():
        load = measure(plan, contenders, options.rounds, options.jobs)
        recording.add(load)
        print(section(load, recording.report.programs))
    if _is_wanted(PROFILE, options) and not options.only:
        recording.add_profiles(asyncio.run(profiles(options.jobs or USERS)))
    publish(options.out)
    report = recording.report
    moved = print_movements(old, Run.of_report(report)) if old else 0
    return moved or int(any(not row.figures for load in report.loads for row in load.rows))


def _is_wanted(load: str, options: argparse.Namespace) -> bool:
    return not options.loads or load in options.loads


def _begin(programs: Sequence[Contender]) -> Report:
    """Return a report without loads."""
    return Report(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        machine=machine.describe(),
        programs=[contender.program() for contender in programs],
        loads=[],
    )


def _chosen(plan: Plan, options: argparse.Namespace) -> list[Contender]:
    only, at_once = options.only, options.at_once
    chosen = [contender for contender in plan.contenders if not only or contender.name in only]
    if not at_once:
        return chosen
    said = f" In this run: {at_once} jobs at once in drain."
    return [replace(each, drain_at_once=at_once, set_up=each.set_up + said) for each in chosen]


def _distinct(chosen: Iterable[Sequence[Contender]]) -> list[Contender]:
    """Return the programs, each once, even if a load has it several times in different sizes."""
    return list({contender.name: contender for contenders in chosen for contender in contenders}.values())


def _parser() -> argparse.ArgumentParser:
    loads = [*(plan.name for plan in PLANS), PROFILE]
    programs = [contender.name for contender in _distinct([plan.contenders for plan in PLANS])]
    parser = argparse.ArgumentParser(prog="python -m ops.bench peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help=f"default {DEFAULT_ROUNDS}")
    parser.add_argument("--out", type=Path, default=REPORT, metavar="FILE", help="default ops/bench/peers.json")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page and the picture of FILE")
    parser.add_argument("--only", nargs="+", default=[], choices=programs, metavar="PROGRAM", help=", ".join(programs))
    parser.add_argument("--loads", nargs="+", default=[], choices=loads, metavar="LOAD", help=", ".join(loads))
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs of each load instead of its own number, for tries")
    parser.add_argument("--at-once", type=int, metavar="N", help="jobs at once of each peer in drain, for tries")
    parser.add_argument("--add", action="store_true", help="keep what FILE has of other loads, of the same machine")
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
    if is_published(options.out):
        if options.only or options.jobs or options.at_once:
            parser.error("--only, --jobs and --at-once are for tries: name another file for their figures by --out")
        if options.loads and not options.add:
            parser.error("the published report would lose its other loads: keep them by --add, or name a file by --out")
    if options.only and options.add:
        parser.error("--add replaces whole loads, which --only does not measure")
    for load in options.loads:
        if load != PROFILE and not any(plan.name == load and _chosen(plan, options) for plan in PLANS):
            parser.error(f"none of {', '.join(options.only)} is measured in {load}")
