"""`python -m ops.bench [NAME ...] [--json]`: prints figures beside their targets, exits 1 if one is missed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

import msgspec
from rich.console import Console
from rich.table import Table

from ops.bench.batches import fan_out
from ops.bench.figures import Figure
from ops.bench.idling import idle
from ops.bench.memory import CHANGES, memory
from ops.bench.pacing import neighbour, one_user
from ops.bench.recovery import recovery
from ops.bench.sharing import coalesce, fairness, priority
from ops.bench.throughput import enqueueing, through_one_worker

BENCHES: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "pace-2ms": lambda: one_user(2, 1),
    "pace-40ms": lambda: one_user(40, 10),
    "neighbour": neighbour,
    "idle": idle,
    "throughput": through_one_worker,
    "enqueue": enqueueing,
    "fan-out": fan_out,
    "priority": priority,
    "fairness": fairness,
    "coalesce": coalesce,
    "recovery": recovery,
    "memory": memory,
}


def main() -> int:
    """Runs the named benchmarks, all by default; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--changes", type=int, default=CHANGES, metavar="N", help=f"for memory ({CHANGES:,})")
    options = parser.parse_args()
    if options.changes < 1:
        parser.error(f"--changes must be 1 or more; got {options.changes}")
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}")
    figures: list[Figure] = []
    for name in options.names or BENCHES:
        print(f"measuring {name} ...", file=sys.stderr)
        figures += asyncio.run(_measure(name, options.changes))
    _print(figures, as_json=options.json)
    return int(any(figure.met is False for figure in figures))


async def _measure(name: str, changes: int) -> list[Figure]:
    return await (memory(changes) if name == "memory" else BENCHES[name]())


def _print(figures: list[Figure], *, as_json: bool) -> None:
    if as_json:
        for figure in figures:
            print(msgspec.json.encode(figure).decode())
        return
    table = Table("figure", "measured", "target", "")
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        table.add_row(figure.name, f"{figure.value:,.{_decimals(figure.value)}f} {figure.unit}", figure.target, verdict)
    Console(width=140).print(table)


def _decimals(value: float) -> int:
    """Small figures need more of them."""
    return 4 if 0 < value <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
