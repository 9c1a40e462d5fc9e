"""`copytrade doctor`: whether the queue can work, and what to do if not."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

from producers.cli.context import QueueCommand, Run, pass_run
from producers.cli.exit_codes import Exit
from producers.monitor.checks import Check, CheckStatus, fail, ok, worst
from producers.monitor.doctor import diagnose

CHECKS_GROUP = "copytrade.checks"
"""Entry points of this group are async functions without arguments that return a list of `Check`."""

COLUMNS = ("status", "check", "found", "what to do")


@click.command(cls=QueueCommand, short_help="Check Redis, workers, credentials and the exchange.")
@pass_run
def doctor(run: Run) -> Exit:
    """Check Redis and its settings, clocks, workers and the queue; where the worker is installed, also credentials and
    the exchange. The exit status is 1 if a check fails; warnings alone are 0.
    """
    found = run.complete(_all_checks(run.redis_dsn))
    if run.as_json:
        run.screen.json({"status": worst(found), "checks": found})
    else:
        run.screen.table(COLUMNS, ((check.status.value, check.name, check.detail, check.hint) for check in found))
    return Exit.NOT_ALL if worst(found) is CheckStatus.FAIL else Exit.DONE


async def _all_checks(dsn: str | None) -> list[Check]:
    found = await diagnose(dsn=dsn)
    for point in sorted(entry_points(group=CHECKS_GROUP), key=lambda point: point.name):
        try:
            found += await point.load()()
        except ModuleNotFoundError as exc:
            # An extra of this package: whoever only enqueues has no use for what it checks.
            missing = f"not checked: {exc.name} is not installed here"
            found.append(ok(point.name, f"{missing}; install copytrade-settings[{point.name}] where it is needed"))
        except Exception as exc:  # noqa: BLE001 - a broken check of another package is a finding
            found.append(fail(point.name, f"its checks cannot be run: {type(exc).__name__}: {exc}", "reinstall it"))
    return found
