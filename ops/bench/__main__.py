"""`python -m ops.bench [NAME ...] [--json]`: print measurements beside their targets, exit 1 if a target is missed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from rich.console import Console as Screen
from rich.table import Table

from ops.bench.chunks import chunks
from ops.bench.cluster import cluster
from ops.bench.console import console
from ops.bench.depth import depth
from ops.bench.fairness import coalesce, fairness, priority
from ops.bench.fan_out import fan_out, stored
from ops.bench.footprint import footprint
from ops.bench.forget import forget
from ops.bench.gateway import gateway
from ops.bench.idle_latency import idle
from ops.bench.measurement import Measurement
from ops.bench.memory import CHANGES, memory
from ops.bench.metrics import metrics
from ops.bench.pacing import neighbour, one_user
from ops.bench.recovery import recovery
from ops.bench.redis_load import redis_load
from ops.bench.shards import shards
from ops.bench.throughput import enqueue_rate, worker_throughput
from ops.bench.tracing import tracing
from ops.bench.warm_start import warm

BENCHMARKS: dict[str, Callable[[], Coroutine[Any, Any, list[Measurement]]]] = {
    "pace-2ms": lambda: one_user(2, 1),
    "pace-40ms": lambda: one_user(40, 10),
    "neighbour": neighbour,
    "idle": idle,
    "warm": warm,
    "throughput": worker_throughput,
    "redis-load": redis_load,
    "enqueue": enqueue_rate,
    "fan-out": fan_out,
    "stored": stored,
    "depth": depth,
    "chunks": chunks,
    "priority": priority,
    "fairness": fairness,
    "coalesce": coalesce,
    "recovery": recovery,
    "memory": memory,
    "metrics": metrics,
    "gateway": gateway,
    "console": console,
    "forget": forget,
    "footprint": footprint,
    "tracing": tracing,
    "cluster": cluster,
    "shards": shards,
}


def main() -> int:
    """Run the named benchmarks, all by default. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--changes", type=int, default=CHANGES, metavar="N", help=f"for memory ({CHANGES:,})")
    options = parser.parse_args()
    if options.changes < 1:
        parser.error(f"--changes must be 1 or more; got {options.changes}")
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    benchmarks = BENCHMARKS | {"memory": lambda: memory(options.changes)}
    measurements: list[Measurement] = []
    for name in options.names or benchmarks:
        print(f"measuring {name} ...", file=sys.stderr)
        measurements += asyncio.run(benchmarks[name]())
    _print(measurements, as_json=options.json)
    return int(any(measurement.met is False for measurement in measurements))


def _print(measurements: list[Measurement], *, as_json: bool) -> None:
    if as_json:
        for measurement in measurements:
            print(msgspec.json.encode(measurement).decode())
        return
    table = Table("figure", "measured", "target", "")
    for measurement in measurements:
        value = f"{measurement.value:,.{_decimals(measurement.value)}f} {measurement.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[measurement.met]
        table.add_row(measurement.name, value, measurement.target, verdict)
    Screen(width=140).print(table)


def _decimals(value: float) -> int:
    """Return more decimals for small values."""
    return 4 if 0 < value <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
