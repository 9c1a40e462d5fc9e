"""`python -m ops.demo`: the whole job on real parts in about 20 seconds. Exits with 0 only if every invariant held."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from rich.console import Console

from ops.children import temporary_folder
from ops.demo import report
from ops.demo.checks import check_all
from ops.demo.figures import figures
from ops.demo.run import play, staged
from ops.demo.scenario import Scenario, make
from ops.stack import cancel_on_sigterm

INTERRUPTED = 130
LOG_LINES = 10


def main(argv: list[str] | None = None) -> int:
    """Play the demo and return the exit status."""
    options = _options(argv)
    scenario = make(followers=options.followers, lane=options.lane, seed=options.seed)
    screen = report.console(to_stderr=options.json)
    report.opening(screen, scenario)
    with temporary_folder("demo-") as folder:
        try:
            holds = asyncio.run(_play_until_stopped(scenario, folder, screen, options))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("demo: interrupted; everything it started has been stopped", file=sys.stderr)
            return INTERRUPTED
    return 0 if holds else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.demo", description="The main job on real parts: limits, order, faults and results."
    )
    parser.add_argument("--followers", type=int, default=300, metavar="N", help="of the fan-out (300)")
    parser.add_argument("--lane", type=int, default=120, metavar="N", help="changes of the user with many (120)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="decides whom the faults strike (1)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout, the rest on stderr")
    parser.add_argument("--stay", action="store_true", help="keep everything running for a look, until Ctrl-C")
    options = parser.parse_args(argv)
    for name, minimum in (("followers", 20), ("lane", 2)):
        if getattr(options, name) < minimum:
            parser.error(f"--{name} must be {minimum} or more; got {getattr(options, name)}")
    return options


async def _play_until_stopped(
    scenario: Scenario, folder: Path, screen: Console, options: argparse.Namespace
) -> bool:  # fmt: skip
    """Play the scenario and report; return whether every invariant held.

    On SIGTERM, as on Ctrl-C, stop everything that was started.
    """
    cancel_on_sigterm()
    began_s = time.monotonic()
    async with staged(scenario, folder) as stage:
        report.address(screen, stage.console_url)
        with report.progress(screen, scenario) as on_progress:
            evidence = await play(scenario, stage, on_progress)
        checks = check_all(evidence)
        seen = figures(evidence, {planned.change.user_id for planned in scenario.fan_out})
        took_s = time.monotonic() - began_s
        holds = all(check.holds for check in checks)
        if not holds:
            _print_log(folder / "worker.log")
        report.closing(screen, seen, checks, took_s)
        if options.json:
            listed = [{"name": check.name, "holds": check.holds, "detail": check.detail} for check in checks]
            result = {"holds": holds, "seed": options.seed, "tookS": round(took_s, 1), "checks": listed}
            print(msgspec.json.format(msgspec.json.encode(result | {"figures": seen})).decode(), flush=True)
        if options.stay:
            report.staying(screen, stage.console_url)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return holds


def _print_log(path: Path) -> None:
    """Print the end of the workers' log, which may show the reason of a failure."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    print("\n".join(["the workers' last lines:", *lines[-LOG_LINES:], ""]), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
