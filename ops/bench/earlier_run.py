"""An earlier run, read from its file, and compared with a new one for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ops.bench.compare import Figure, Verdict, compare, parse
from ops.bench.tables import print_comparison


class UnreadableRun(ValueError):
    """A file is not the JSON of a run; the message says which, and why."""


def read_run(path: Path) -> tuple[list[Figure], list[str]]:
    """Return the figures of a run, and the names of its benchmarks.

    Raises:
        UnreadableRun: the file cannot be read, or is something else.
    """
    try:
        figures, benchmarks = parse(path.read_bytes())
    except (OSError, msgspec.DecodeError) as exc:
        raise UnreadableRun(
            f"{path} is not the JSON of a run (python -m ops.bench --json, or of peers): {exc}"
        ) from exc
    if not figures:
        raise UnreadableRun(f"{path} has no figures: the run that was to write it did not end")
    return figures, benchmarks


def print_movements(old: Sequence[Figure], new: Sequence[Figure], *, to_stderr: bool = False) -> int:
    """Print what moved. Return the exit status: 1 if a figure got worse beyond its spread."""
    comparison = compare(old, new)
    print_comparison(comparison, to_stderr=to_stderr)
    return int(comparison.count(Verdict.WORSE) > 0)
