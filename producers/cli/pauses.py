"""`copytrade pause`, `resume`, `paused`: of a user, a trader, an egress, everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from producers import Pause, Producer
from producers.cli.context import QueueCommand, Run, pass_run
from producers.cli.input.row_errors import BadInput
from producers.cli.text import NOTHING, when

Command = TypeVar("Command", bound=Callable[..., Any])

COLUMNS = ("paused", "which", "since")
_CHOICE = "--user ID, --trader ID, --egress NAME or --everything"


def _what_options(command: Command) -> Command:
    for option in (
        click.option("--everything", is_flag=True, help="All there is."),
        click.option("--egress", metavar="NAME", help="What leaves from this egress IP."),
        click.option("--trader", "trader_id", metavar="ID", help="Changes of copying this trader."),
        click.option("--user", "user_id", metavar="ID", help="Changes of this user."),
    ):
        command = option(command)
    return command


def _one(what: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in what.items() if value not in (None, False)}
    if len(given) != 1:
        raise BadInput(f"give one of {_CHOICE}")
    return given


@click.command(cls=QueueCommand, short_help="Send nothing of a user, a trader, an egress, or at all.")
@_what_options
@pass_run
def pause(run: Run, /, **what: Any) -> None:
    """Send nothing of a user, a trader, an egress, or at all, until `resume`. What is queued stays."""
    given = _one(what)

    async def work(producer: Producer) -> bool:
        return await producer.pause(**given)

    show_paused(run, run.ask(work))


@click.command(cls=QueueCommand, short_help="End a pause.")
@_what_options
@pass_run
def resume(run: Run, /, **what: Any) -> None:
    """End a pause."""
    given = _one(what)

    async def work(producer: Producer) -> bool:
        return await producer.resume(**given)

    show_resumed(run, run.ask(work))


@click.command(cls=QueueCommand, short_help="List the pauses in force.")
@pass_run
def paused(run: Run) -> None:
    """List the pauses in force."""

    async def work(producer: Producer) -> list[Pause]:
        return await producer.paused()

    found = run.ask(work)
    if run.as_json:
        run.screen.json(found)
        return
    rows = ((pause.kind, pause.name or NOTHING, when(pause.since_ms)) for pause in found)
    run.screen.table(COLUMNS, rows, nothing="nothing is paused")


def show_paused(run: Run, changed: bool) -> None:
    """Whether a pause is new."""
    if run.as_json:
        run.screen.json({"paused": True, "changed": changed})
    else:
        run.screen.say("paused" if changed else "was paused already")


def show_resumed(run: Run, changed: bool) -> None:
    """Whether there was a pause to end."""
    if run.as_json:
        run.screen.json({"paused": False, "changed": changed})
    else:
        run.screen.say("resumed" if changed else "was not paused")
