"""`copytrade dead ...`: dead letters, which are changes that were not applied and are kept for a replay."""

from __future__ import annotations

from typing import Any

import click

from producers import DeadLetter, Producer
from producers.cli.context import CliContext, CommandGroup, pass_cli
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.cli.number_types import WholeNumber
from producers.cli.shared_options import Command, confirm, outcome_option, yes_option
from producers.cli.text import EMPTY_CELL, format_count, format_time
from producers.cli.views import ATTEMPT_COLUMNS, attempt_row, change_details
from producers.queue.finish import DEAD_OUTCOMES

LIST_COLUMNS = ("user", "trader", "outcome", "code", "message", "ended", "job")


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--code", metavar="CODE", help="Only dead letters with this code of the exchange; none for none."),
        click.option("--batch", "batch_id", metavar="ID", help="Only dead letters of this batch."),
        click.option("--trader", "trader_id", metavar="ID", help="Only dead letters of this trader."),
        click.option("--user", "user_id", metavar="ID", help="Only dead letters of this user."),
        outcome_option(DEAD_OUTCOMES),
    ):
        command = option(command)
    return command


def _selection_options(command: Command) -> Command:
    command = click.option("--all", "everything", is_flag=True, help="Take all dead letters.")(command)
    return click.argument("job_id", required=False)(_filter_options(command))


def _selection(job_id: str | None, everything: bool, filters: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `replay` and `drop`; raise BadInput unless there is a job ID, a filter, or --all."""
    given_filters = {name: value for name, value in filters.items() if value is not None}
    if (job_id is not None) + bool(given_filters) + everything != 1:
        raise BadInput("give a JOB_ID, or some of --outcome, --user, --trader, --batch and --code, or --all")
    if everything:
        return {"everything": True}
    return given_filters if job_id is None else {"job_id": job_id}


@click.group(cls=CommandGroup, short_help="List, replay or drop dead letters.")
def dead() -> None:
    """List, replay or drop dead letters: changes that ended rejected, unauthorized or exhausted."""


@dead.command("list")
@_filter_options
@click.option("--limit", type=WholeNumber(min=1), help="How many to list at most.")
@pass_cli
def list_dead_letters(cli: CliContext, /, limit: int | None, **filters: Any) -> None:
    """List dead letters, oldest first."""

    async def work(producer: Producer) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        count = 0
        listing = producer.dead.list(**filters)
        async for dead_letter in listing:
            if cli.as_json:
                cli.screen.json_line(dead_letter)
            else:
                found.append(dead_letter)
            count += 1
            if count == limit:
                break
        cli.note_malformed(listing.malformed)
        return found

    found = cli.with_producer(work)
    if not cli.as_json:
        cli.screen.table(LIST_COLUMNS, map(_row, found), empty_note="there are no dead letters")


@dead.command(short_help="Show a dead letter with its requests.")
@click.argument("job_id")
@pass_cli
def show(cli: CliContext, job_id: str) -> None:
    """Show a dead letter: the change, and every request that was sent for it."""
    dead_letter = cli.with_producer(lambda producer: producer.dead.get(job_id))
    if cli.as_json:
        cli.screen.json(dead_letter)
        return
    change, result = dead_letter.change, dead_letter.result
    ended_at = format_time(dead_letter.ended_at_ms)
    cli.screen.details([("job", job_id), ("outcome", dead_letter.outcome.value), ("ended", ended_at)])
    if change is None:
        cli.screen.details([("user", dead_letter.user_id or EMPTY_CELL), ("change", "unreadable")])
    else:
        cli.screen.details(change_details(change))
    if result is None:
        cli.screen.details([("result", "has expired")])
        return
    cli.screen.details([("code", result.code or EMPTY_CELL), ("message", result.message or EMPTY_CELL)])
    if result.attempts:
        cli.screen.table(ATTEMPT_COLUMNS, map(attempt_row, result.attempts))


@dead.command(
    short_help="Enqueue dead letters again, with new job IDs.",
    examples=("copytrade dead replay order-1", "copytrade dead replay --code 40017 --trader t1"),
)
@_selection_options
@pass_cli
def replay(cli: CliContext, /, job_id: str | None, everything: bool, **filters: Any) -> ExitCode:
    """Enqueue dead letters again, in their order and with new job IDs.

    Choose them by JOB_ID, by --outcome, --user, --trader, --batch and --code, or by --all.
    """
    selection = _selection(job_id, everything, filters)
    report = cli.with_producer(lambda producer: producer.dead.replay(**selection))
    cli.note_malformed(report.malformed)
    if cli.as_json:
        cli.screen.json(
            {
                "replayed": [{"jobId": old, "newJobId": new} for old, new in report.replayed],
                "refused": [{"jobId": old, "reason": reason} for old, reason in report.refused],
            }
        )
    else:
        cli.screen.table(("dead letter", "new job"), report.replayed, empty_note="nothing was replayed")
        for old, reason in report.refused:
            cli.screen.note(f"{old}: not replayed: {reason}")
    return ExitCode.FAILED if report.refused else ExitCode.DONE


@dead.command(examples=("copytrade dead drop order-1", "copytrade dead drop --all --yes"))
@_selection_options
@yes_option()
@pass_cli
def drop(cli: CliContext, /, job_id: str | None, everything: bool, yes: bool, **filters: Any) -> None:
    """Delete dead letters; their results stay until they expire.

    Choose them by JOB_ID, by --outcome, --user, --trader, --batch and --code, or by --all, which asks for confirmation
    unless --yes is given.
    """
    selection = _selection(job_id, everything, filters)
    if everything:
        confirm("Delete all dead letters?", yes=yes)
    dropped = cli.with_producer(lambda producer: producer.dead.drop(**selection))
    cli.print_result({"dropped": dropped}, f"{format_count(dropped)} dropped")


def _row(dead_letter: DeadLetter) -> tuple[str, ...]:
    result = dead_letter.result
    return (
        dead_letter.user_id or EMPTY_CELL,
        dead_letter.trader_id or EMPTY_CELL,
        dead_letter.outcome.value,
        (result and result.code) or EMPTY_CELL,
        (result and result.message) or EMPTY_CELL,
        format_time(dead_letter.ended_at_ms),
        dead_letter.job_id,
    )
