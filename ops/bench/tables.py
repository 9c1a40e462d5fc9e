"""Measurements and comparisons as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console as Screen
from rich.table import Table

from ops.bench.compare import Comparison, Figure, Verdict
from ops.bench.measurement import Measurement

WIDTH = 140
MAX_NAMES = 10
"""Of figures that only one run has."""


def print_measurements(measurements: Sequence[Measurement]) -> None:
    """Print measurements beside their targets."""
    table = Table("figure", "measured", "target", "")
    for each in measurements:
        spread = "" if each.low is None or each.high is None else f" ({_number(each.low)} to {_number(each.high)})"
        verdict = {True: "met", False: "MISSED", None: ""}[each.met]
        table.add_row(each.name, f"{_number(each.value)} {each.unit}{spread}", each.target, verdict)
    Screen(width=WIDTH).print(table)


def print_comparison(comparison: Comparison, *, to_stderr: bool = False) -> None:
    """Print the figures that moved beyond their spread, and how many others there are."""
    table = Table("moved beyond the spread", "earlier", "now", "change", "")
    for movement in comparison.movements:
        if movement.verdict not in (Verdict.WITHIN, Verdict.UNKNOWN):
            percent = "" if movement.percent is None else f"{movement.percent:+.1f} %"
            table.add_row(
                movement.new.name, _figure(movement.old), _figure(movement.new), percent, movement.verdict.value
            )
    screen = Screen(width=WIDTH, file=sys.stderr if to_stderr else None, markup=False)
    if table.row_count:
        screen.print(table)
    moved = f"{table.row_count} of {len(comparison.movements)} figures moved beyond their spread"
    screen.print(f"{moved}, {comparison.count(Verdict.WORSE)} of them for the worse")
    if unknown := comparison.count(Verdict.UNKNOWN):
        advice = "measure with --repeat 5, or peers with --rounds 3"
        screen.print(f"{unknown} cannot be judged: both runs measured them once; {advice}")
    for title, names in (("only in the earlier run", comparison.missing), ("only in this run", comparison.added)):
        for name in names[:MAX_NAMES]:
            screen.print(f"{title}: {name}")
        if len(names) > MAX_NAMES:
            screen.print(f"{title}: {len(names) - MAX_NAMES} more")


def _figure(figure: Figure) -> str:
    """Return a figure with its spread."""
    spread = f" ({_number(figure.low)} to {_number(figure.high)})" if figure.has_spread else ""
    return f"{_number(figure.median)} {figure.unit}{spread}".replace("  ", " ").strip()


def _number(value: float) -> str:
    """Return more decimals for small values."""
    return f"{value:,.{4 if 0 < value <= 1 else 1}f}"
