"""`copytrade dead ...`: changes that ended without effect, kept with what they asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from producers import DeadLetter, Outcome, Producer, ReplayReport
from producers.cli.context import Family, Run, pass_run
from producers.cli.exit_codes import Exit
from producers.cli.formatting import ATTEMPT_COLUMNS, attempt_row, settings_lines
from producers.cli.input.row_errors import BadInput
from producers.cli.shared_options import outcome_option
from producers.cli.text import NOTHING, count, when

Command = TypeVar("Command", bound=Callable[..., Any])

LIST_COLUMNS = ("user", "trader", "outcome", "code", "message", "ended", "job")


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--batch", "batch_id", metavar="ID", help="Only those of this batch."),
        click.option("--user", "user_id", metavar="ID", help="Only those of this user."),
        outcome_option(),
    ):
        command = option(command)
    return command


def _choice(job_id: str | None, everything: bool, filters: dict[str, Any]) -> dict[str, Any]:
    """What to replay or drop. Everything is never meant by saying nothing."""
    given = {name: value for name, value in filters.items() if value is not None}
    if (job_id is not None) + bool(given) + everything != 1:
        raise BadInput("give a JOB_ID, or some of --outcome, --user and --batch, or --all")
    if everything:
        return {"everything": True}
    return given if job_id is None else {"job_id": job_id}


@click.group(cls=Family, short_help="List, repeat or drop what ended without effect.")
def dead() -> None:
    """Changes that were rejected, unauthorized or exhausted: list them, repeat them, or drop them."""


@dead.command("list")
@_filter_options
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, oldest first.")
@pass_run
def list_letters(run: Run, /, limit: int | None, **filters: Any) -> None:
    """List dead letters, oldest first."""

    async def work(producer: Producer) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        async for letter in producer.dead.list(**filters):
            if run.as_json:
                run.screen.json_line(letter)
            else:
                found.append(letter)
            limit_left[0] -= 1
            if limit_left[0] == 0:
                break
        return found

    limit_left = [limit or -1]
    found = run.ask(work)
    if not run.as_json:
        run.screen.table(LIST_COLUMNS, map(_row, found), nothing="there are no dead letters")


@dead.command()
@click.argument("job_id")
@pass_run
def show(run: Run, job_id: str) -> None:
    """Show a dead letter: what it asked for, and every request that was made for it."""

    async def work(producer: Producer) -> DeadLetter:
        return await producer.dead.get(job_id)

    letter = run.ask(work)
    if run.as_json:
        run.screen.json(letter)
        return
    run.screen.facts([("job", letter.job_id), ("outcome", letter.outcome.value), ("ended", when(letter.ended_at_ms))])
    if letter.change is None:
        run.screen.facts([("user", letter.user_id or NOTHING), ("change", "unreadable")])
    else:
        run.screen.facts(settings_lines(letter.change))
    if letter.result is None:
        run.screen.facts([("result", "has expired")])
        return
    run.screen.facts([("code", letter.result.code or NOTHING), ("message", letter.result.message or NOTHING)])
    if letter.result.attempts:
        run.screen.table(ATTEMPT_COLUMNS, map(attempt_row, letter.result.attempts))


@dead.command()
@click.argument("job_id", required=False)
@_filter_options
@click.option("--all", "everything", is_flag=True, help="All there are.")
@pass_run
def replay(run: Run, /, job_id: str | None, everything: bool, **filters: Any) -> Exit:
    """Put dead letters into the queue again, under new IDs, in their order."""
    chosen = _choice(job_id, everything, filters)

    async def work(producer: Producer) -> ReplayReport:
        return await producer.dead.replay(**chosen)

    report = run.ask(work)
    if run.as_json:
        run.screen.json(
            {
                "replayed": [{"jobId": old, "newJobId": new} for old, new in report.replayed],
                "refused": [{"jobId": old, "reason": reason} for old, reason in report.refused],
            }
        )
    else:
        rows = ((old, new) for old, new in report.replayed)
        run.screen.table(("dead letter", "new job"), rows, nothing="nothing was replayed")
        for old, reason in report.refused:
            run.screen.note(f"{old}: not replayed: {reason}")
    return Exit.NOT_ALL if report.refused else Exit.DONE


@dead.command()
@click.argument("job_id", required=False)
@_filter_options
@click.option("--all", "everything", is_flag=True, help="All there are.")
@pass_run
def drop(run: Run, /, job_id: str | None, everything: bool, **filters: Any) -> None:
    """Forget dead letters; their results stay until they expire."""
    chosen = _choice(job_id, everything, filters)

    async def work(producer: Producer) -> int:
        return await producer.dead.drop(**chosen)

    dropped = run.ask(work)
    if run.as_json:
        run.screen.json({"dropped": dropped})
    else:
        run.screen.say(f"{count(dropped)} dropped")


def _row(letter: DeadLetter) -> tuple[str, ...]:
    result = letter.result
    return (
        letter.user_id or NOTHING,
        letter.trader_id or NOTHING,
        Outcome(letter.outcome).value,
        (result and result.code) or NOTHING,
        (result and result.message) or NOTHING,
        when(letter.ended_at_ms),
        letter.job_id,
    )
