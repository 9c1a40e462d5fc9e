"""`python -m ops.bench [NAME ...] [--json]`: print measurements beside their targets, exit 1 if a target is missed.

With `--compare OLD` the exit status is 1 if a figure got worse beyond its spread. `python -m ops.bench peers` compares
with other job queues; it is not among "all", and has options of its own (`--help`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ops.bench.chunks import chunks
from ops.bench.cluster import cluster
from ops.bench.compare import PEERS, Run
from ops.bench.console import console
from ops.bench.depth import depth
from ops.bench.earlier_run import UnreadableRun, check_comparable, print_movements, read_run
from ops.bench.fairness import coalesce, fairness, priority
from ops.bench.fan_out import fan_out, stored
from ops.bench.footprint import footprint
from ops.bench.forget import forget
from ops.bench.gateway import gateway
from ops.bench.idle_latency import idle
from ops.bench.measurement import Measurement, merge
from ops.bench.memory import CHANGES, memory
from ops.bench.metrics import metrics
from ops.bench.pacing import neighbour, one_user
from ops.bench.peers import command as peers
from ops.bench.profiles import profile
from ops.bench.recovery import recovery
from ops.bench.redis_load import redis_load
from ops.bench.shards import shards
from ops.bench.tables import print_measurements
from ops.bench.throughput import enqueue_rate, worker_throughput
from ops.bench.tracing import tracing
from ops.bench.warm_start import warm

INTERRUPTED = 130
"""The exit status, as of a shell: 128 and the number of SIGINT."""

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
    "profile": profile,
    "cluster": cluster,
    "shards": shards,
}


def main() -> int:
    """Run the named benchmarks, all by default but `peers`. Return the exit status."""
    if sys.argv[1:2] == ["peers"]:
        return peers.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--changes", type=int, default=CHANGES, metavar="N", help=f"for memory ({CHANGES:,})")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="measure N times: medians and spread (1)")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="say what moved against the JSON of an earlier run")
    parser.add_argument("--new", type=Path, metavar="NEW", help="compare OLD with this run, and measure nothing")
    options = parser.parse_args()
    for name, value in (("--changes", options.changes), ("--repeat", options.repeat)):
        if value < 1:
            parser.error(f"{name} must be 1 or more; got {value}")
    if options.new and not options.compare:
        parser.error("--new NEW needs --compare OLD")
    try:
        old = read_run(options.compare) if options.compare else None
        if old and options.new:
            return print_movements(old, read_run(options.new))
    except UnreadableRun as exc:
        parser.error(str(exc))
    if old and old.benchmarks == [PEERS] and not options.names:
        return peers.main(_again(old, options))
    names = options.names or (old and old.benchmarks) or list(BENCHMARKS)
    _check_names(parser, names, old)
    measurements = _measure(names, options)
    _print(measurements, as_json=options.json)
    if old:
        return print_movements(old, Run.of_measurements(measurements), to_stderr=options.json)
    return int(any(measurement.met is False for measurement in measurements))


def _check_names(parser: argparse.ArgumentParser, names: Sequence[str], old: Run | None) -> None:
    if PEERS in names:
        parser.error(f"{PEERS} runs alone, and has options of its own: python -m ops.bench {PEERS} --help")
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    try:
        if old:
            check_comparable(old, names)
    except UnreadableRun as exc:
        parser.error(str(exc))


def _again(old: Run, options: argparse.Namespace) -> list[str]:
    """Return the arguments by which the loads of an earlier run of `peers` run again, into a file of their own."""
    loads = dict.fromkeys(figure.name.partition(":")[0] for figure in old.figures)
    rounds = ["--rounds", str(options.repeat)] if options.repeat > 1 else []
    new = options.compare.with_suffix(".new.json")
    return ["--compare", str(options.compare), "--out", str(new), *rounds, "--loads", *loads]


def _measure(names: Sequence[str], options: argparse.Namespace) -> list[Measurement]:
    """Run benchmarks as often as asked, in turn, so that a slow time of the machine does not fall on one of them."""
    benchmarks = BENCHMARKS | {"memory": lambda: memory(options.changes)}
    repeats: dict[str, list[list[Measurement]]] = {name: [] for name in names}
    for _ in range(options.repeat):
        for name, measured in repeats.items():
            print(f"measuring {name} ...", file=sys.stderr)
            measured.append(asyncio.run(benchmarks[name]()))
    return [measurement for name, measured in repeats.items() for measurement in merge(name, measured)]


def _print(measurements: Sequence[Measurement], *, as_json: bool) -> None:
    if not as_json:
        print_measurements(measurements)
        return
    for measurement in measurements:
        print(msgspec.json.encode(measurement).decode())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; `peers` keeps the loads that it has finished", file=sys.stderr)
        sys.exit(INTERRUPTED)
