"""`copytrade pause`, `resume` and `paused`, for a user, a trader, an egress, or everything."""

from __future__ import annotations

from typing import Any

import click

from producers import Listing, Pause
from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.input.row_errors import BadInput
from producers.cli.shared_options import Command
from producers.cli.text import EMPTY_CELL, format_time

COLUMNS = ("paused", "which", "since")


def _target_options(command: Command) -> Command:
    for option in (
        click.option("--everything", is_flag=True, help="All changes."),
        click.option("--egress", metavar="NAME", help="Changes sent through this egress IP."),
        click.option("--trader", "trader_id", metavar="ID", help="Changes for this trader."),
        click.option("--user", "user_id", metavar="ID", help="Changes of this user."),
    ):
        command = option(command)
    return command


def _only_target(options: dict[str, Any]) -> dict[str, Any]:
    target = {name: value for name, value in options.items() if value not in (None, False)}
    if len(target) != 1:
        raise BadInput("give one of --user ID, --trader ID, --egress NAME or --everything")
    return target


@click.command(
    cls=QueueCommand,
    short_help="Stop sending for a user, a trader, an egress, or at all.",
    examples=("copytrade pause --user 1001", "copytrade pause --everything"),
)
@_target_options
@pass_cli
def pause(cli: CliContext, /, **options: Any) -> None:
    """Send nothing for a user, a trader, an egress, or at all, until `resume`. Queued changes stay queued.

    Give exactly one of the options that say what to pause.
    """
    target = _only_target(options)
    print_paused(cli, changed=cli.with_producer(lambda producer: producer.pause(**target)))


@click.command(
    cls=QueueCommand,
    short_help="End a pause.",
    examples=("copytrade resume --user 1001", "copytrade resume --everything"),
)
@_target_options
@pass_cli
def resume(cli: CliContext, /, **options: Any) -> None:
    """End a pause. Give the option with which it was begun."""
    target = _only_target(options)
    print_resumed(cli, changed=cli.with_producer(lambda producer: producer.resume(**target)))


@click.command(cls=QueueCommand, short_help="List the pauses in effect.")
@pass_cli
def paused(cli: CliContext) -> None:
    """List the pauses in effect."""
    cli.show(lambda producer: producer.paused(), lambda pauses: _print_pauses(cli, pauses))


def _print_pauses(cli: CliContext, pauses: Listing[Pause]) -> None:
    cli.note_malformed(pauses.malformed)
    if cli.as_json:
        cli.screen.json(pauses)
        return
    rows = ((pause.kind, pause.name or EMPTY_CELL, format_time(pause.since_ms)) for pause in pauses)
    cli.screen.table(COLUMNS, rows, empty_note="nothing is paused")


def print_paused(cli: CliContext, *, changed: bool) -> None:
    """Print whether the pause is new."""
    cli.print_result({"paused": True, "changed": changed}, "paused" if changed else "was paused already")


def print_resumed(cli: CliContext, *, changed: bool) -> None:
    """Print whether there was a pause to end."""
    cli.print_result({"paused": False, "changed": changed}, "resumed" if changed else "was not paused")
