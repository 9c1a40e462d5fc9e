"""`python -m ops.chaos --seconds N --seed S [--json]`. Exit status 0 only if all promises held, in enough trouble."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from ops.chaos.checks import judge
from ops.chaos.collect import add_what_was_left, collect
from ops.chaos.environment import Environment
from ops.chaos.faults import Faults
from ops.chaos.report import Summary, as_data, summarize, text
from ops.chaos.run import DRAINED_WITHIN_S, Run
from ops.chaos.schedule import SHORTEST_S

INTERRUPTED = 130
OVERHEAD_S = 120.0
"""For starting, collecting and stopping, at the most."""


def main(argv: list[str] | None = None) -> int:
    """Makes a run; returns the exit status."""
    options = _options(argv)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    keep = options.keep
    try:
        summary = asyncio.run(_bounded(options, folder))
        keep = keep or summary.violations > 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("chaos: interrupted; everything it started has been stopped", file=sys.stderr)
        return INTERRUPTED
    except TimeoutError:
        print("chaos: it took far too long; everything it started has been stopped", file=sys.stderr)
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(as_data(summary))).decode())
    else:
        print(text(summary))
    if keep:
        print(f"everything it wrote is in {folder}", file=sys.stderr)
    return 0 if summary.holds else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.chaos", description="Everything real, everything failing: is anything lost?"
    )
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long things go wrong (60)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="decides what goes wrong and when (1)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout, the rest on stderr")
    parser.add_argument(
        "--keep", action="store_true", help="keep logs, journals and Redis's history, as after a violation"
    )
    options = parser.parse_args(argv)
    if not SHORTEST_S <= options.seconds <= 3600:
        parser.error(f"--seconds must be from {SHORTEST_S:g} to 3600; got {options.seconds:g}")
    return options


async def _bounded(options: argparse.Namespace, folder: Path) -> Summary:
    """SIGTERM ends it as Ctrl-C does, and so does time: what was started is stopped first."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(options.seconds + DRAINED_WITHIN_S + OVERHEAD_S):
        return await _make(options, folder)


async def _make(options: argparse.Namespace, folder: Path) -> Summary:
    began_s = time.monotonic()
    world = Environment(folder, options.seed, options.seconds)
    driver = Run(world, Faults(world), say=lambda line: print(line, file=sys.stderr))
    async with world.running():
        await driver.make_trouble()
        await driver.settle_down()
        seen = await collect(driver)
    add_what_was_left(seen, world)
    judgement = judge(seen)
    took_s = time.monotonic() - began_s
    return summarize(seen, judgement, driver.happened, world=world, took_s=took_s)


if __name__ == "__main__":
    sys.exit(main())
