"""`copytrade doctor`: checks of everything that the queue needs, with a remedy for each failure."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.exit_codes import ExitCode
from producers.monitor.checks import Check, CheckStatus, fail, ok, worst
from producers.monitor.doctor import diagnose

CHECKS_GROUP = "copytrade.checks"
"""Entry points of this group are async functions of `dsn` (--redis, or None) that return a list of `Check`."""

COLUMNS = ("status", "check", "found", "what to do")


@click.command(cls=QueueCommand, short_help="Check Redis, workers, credentials and the exchange.")
@pass_cli
def doctor(cli: CliContext) -> ExitCode:
    """Check Redis and its settings, clocks, workers and the queue.

    Where the worker is installed, also check credentials and the exchange. The exit status is 1 if a check fails; it is
    0 if there are only warnings.
    """
    checks = cli.run_async(_run_checks(cli.redis_dsn))
    if cli.as_json:
        cli.screen.json({"status": worst(checks), "checks": checks})
    else:
        cli.screen.table(COLUMNS, ((check.status.value, check.name, check.detail, check.hint) for check in checks))
    return ExitCode.FAILED if worst(checks) is CheckStatus.FAIL else ExitCode.DONE


async def _run_checks(dsn: str | None) -> list[Check]:
    checks = await diagnose(dsn=dsn)
    for point in sorted(entry_points(group=CHECKS_GROUP), key=lambda point: point.name):
        try:
            checks += await point.load()(dsn=dsn)
        except ModuleNotFoundError as exc:
            # The check needs an optional dependency, which an installation that only enqueues does not have.
            missing = f"not checked: {exc.name} is not installed here"
            checks.append(ok(point.name, f"{missing}; install copytrade-settings[{point.name}] where it is needed"))
        except Exception as exc:  # noqa: BLE001 - the doctor reports a broken check of another package
            checks.append(fail(point.name, f"its checks cannot run: {type(exc).__name__}: {exc}", "reinstall it"))
    return checks
