"""`copytrade migrate`: move a queue of an earlier version to the layout of this one."""

from __future__ import annotations

import click
import msgspec

from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.text import format_count
from producers.contract.layout import LAYOUT
from producers.queue.migration import MigrationReport

MARK_IT = "programs of this version refuse the queue until you run: copytrade migrate --yes"


@click.command(
    cls=QueueCommand,
    short_help="Move a queue of an earlier version.",
    examples=("copytrade migrate", "copytrade migrate --yes"),
)
@click.option("--yes", is_flag=True, help="Move it; without, only print what there is to move.")
@pass_cli
def migrate(cli: CliContext, yes: bool) -> None:
    """Move a queue that an earlier version wrote to the layout of this one.

    Stop all workers and all programs that enqueue first. Users that were sent to in the last minute wait 2 seconds.
    """
    report = cli.with_producer(lambda producer: producer.migrate(dry_run=not yes))
    if cli.as_json:
        cli.screen.json({**msgspec.to_builtins(report), "moved": yes})
    else:
        _print(cli, report, moved=yes)
    if report.workers:
        raise CommandFailed(
            ExitCode.FAILED,
            f"workers of the earlier version are alive ({report.workers}): stop them, then run it again",
        )


def _print(cli: CliContext, report: MigrationReport, *, moved: bool) -> None:
    rows = [("lanes", report.lanes), ("changes", report.changes), ("batches", report.batches)]
    if not any(count for _, count in rows):
        is_marked = moved or report.layout == LAYOUT
        cli.screen.print("nothing is left to move" if is_marked else f"no change is left to move; {MARK_IT}")
        return
    cli.screen.details([("moved" if moved else "to move", ""), *((name, format_count(n)) for name, n in rows)])
    if report.malformed:
        cli.screen.print(f"{format_count(report.malformed)} entries cannot be read, and stay where they are")
    if not moved:
        cli.screen.print(
            "nothing was written; stop all programs that use this queue, then run: copytrade migrate --yes"
        )
