"""An earlier run, read from its file, and compared with a new one for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ops.bench.compare import Run, Verdict, compare, parse
from ops.bench.tables import print_comparison


class UnreadableRun(ValueError):
    """A file is not the JSON of a run, or of no run that can be compared; the message says which, and why."""


def read_run(path: Path) -> Run:
    """Return the run of a file.

    Raises:
        UnreadableRun: the file cannot be read, or is something else.
    """
    try:
        run = parse(path.read_bytes())
    except (OSError, msgspec.DecodeError) as exc:
        raise UnreadableRun(
            f"{path} is not the JSON of a run (python -m ops.bench --json, or of peers): {exc}"
        ) from exc
    if not run.figures:
        raise UnreadableRun(f"{path} has no figures: the run that was to write it did not end")
    return run


def check_comparable(old: Run, benchmarks: Sequence[str]) -> None:
    """Check that a run of these benchmarks can be compared with an earlier one.

    Raises:
        UnreadableRun: they have no benchmark in common.
    """
    if not set(benchmarks) & set(old.benchmarks):
        raise UnreadableRun(
            f"the runs have nothing in common: one is of {', '.join(old.benchmarks)}, the other of"
            f" {', '.join(benchmarks)}"
        )


def print_movements(old: Run, new: Run, *, to_stderr: bool = False) -> int:
    """Print what moved. Return the exit status: 1 if a figure got worse beyond its spread.

    Raises:
        UnreadableRun: the runs have no benchmark in common.
    """
    check_comparable(old, new.benchmarks)
    if old.machine and new.machine and old.machine != new.machine:
        text = "The earlier run was on another machine, kernel, Python or server, so what moved says little"
        print(f"{text}: {old.machine}; now {new.machine}.", file=sys.stderr)
    if differing := old.differing_loads(new):
        text = "In these loads the earlier run did something else, so they are not compared"
        print(f"{text}: {', '.join(differing)}.", file=sys.stderr)
    comparison = compare(old.without(differing), new.without(differing))
    print_comparison(comparison, to_stderr=to_stderr)
    return int(comparison.count(Verdict.WORSE) > 0)
