"""`python -m ops.chaos --seconds N --seed S [--cluster | --shards N] [--json]`.

Exits with 0 only if all guarantees held under enough faults.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from ops.chaos.checks import judge
from ops.chaos.collect import add_exits_and_leaks, collect
from ops.chaos.environment import Environment
from ops.chaos.faults import Faults
from ops.chaos.report import Summary, as_data, summarize, text
from ops.chaos.run import DRAIN_TIMEOUT_S, Run
from ops.chaos.schedule import MIN_SECONDS
from ops.children import keep, remove_at_end
from ops.stack import cancel_on_sigterm
from producers.settings import MAX_SHARDS

INTERRUPTED = 130
OVERHEAD_S = 120.0
"""The longest time for starting, collecting and stopping."""


def main(argv: list[str] | None = None) -> int:
    """Make a run and return the exit status."""
    options = _options(argv)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    remove_at_end(folder)
    is_kept = options.keep
    try:
        summary = asyncio.run(_run(options, folder))
        is_kept = is_kept or summary.violations > 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("chaos: interrupted; everything it started has been stopped", file=sys.stderr)
        return INTERRUPTED
    except TimeoutError:
        print("chaos: the run took too long; everything it started has been stopped", file=sys.stderr)
        return 1
    finally:
        if is_kept:
            keep(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(as_data(summary))).decode())
    else:
        print(text(summary))
    if is_kept:
        print(f"everything it wrote is in {folder}", file=sys.stderr)
    return 0 if summary.holds else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.chaos", description="Everything real, everything failing: is anything lost?"
    )
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long faults happen (60)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="decides the faults and their times (1)")
    parser.add_argument("--cluster", action="store_true", help="on a cluster of three primaries and three replicas")
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="spread the queue over N keyspaces (1)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout, the rest on stderr")
    parser.add_argument(
        "--keep", action="store_true", help="keep logs, journals and Redis's history, as after a violation"
    )
    options = parser.parse_args(argv)
    if not MIN_SECONDS <= options.seconds <= 3600:
        parser.error(f"--seconds must be from {MIN_SECONDS:g} to 3600; got {options.seconds:g}")
    if not 1 <= options.shards <= MAX_SHARDS:
        parser.error(f"--shards must be from 1 to {MAX_SHARDS}; got {options.shards}")
    if options.cluster and options.shards > 1:
        parser.error("--shards is for a single server: what a takeover loses is known of one slot only")
    return options


async def _run(options: argparse.Namespace, folder: Path) -> Summary:
    """Make a run; on SIGTERM, on Ctrl-C and after too long a time, stop everything that was started."""
    cancel_on_sigterm()
    began_s = time.monotonic()
    environment = Environment(folder, options.seed, options.seconds, in_cluster=options.cluster, shards=options.shards)
    max_s = options.seconds + DRAIN_TIMEOUT_S + OVERHEAD_S
    async with asyncio.timeout(max_s), environment.running():
        run = Run(environment, Faults(environment), report_progress=lambda line: print(line, file=sys.stderr))
        await run.carry_out_schedule()
        await run.drain()
        seen = await collect(run)
    add_exits_and_leaks(seen, environment)
    judgement = judge(seen)
    took_s = time.monotonic() - began_s
    return summarize(seen, judgement, run.happened, environment=environment, took_s=took_s)


if __name__ == "__main__":
    sys.exit(main())
