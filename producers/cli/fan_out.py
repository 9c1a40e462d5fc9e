"""`copytrade fan-out`: one change to many followers, from a file."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal

import click

from producers.cli.context import QueueCommand, Run, pass_run
from producers.cli.errors import Ended
from producers.cli.exit_codes import Exit
from producers.cli.formatting import fault_lines
from producers.cli.input.followers import Followers, Survey, form_of, readable_again
from producers.cli.input.row_errors import BadInput, Fault
from producers.cli.settings_options import given_template, settings_options
from producers.cli.shared_options import interruptible, priority_option, timeout_option, ttl_option
from producers.cli.submission import Sending
from producers.cli.text import count
from producers.contract.messages import Priority

MOST_CHANGES_SHOWN = 5


@click.command("fan-out", cls=QueueCommand, short_help="Put one change for many followers into the queue.")
@click.argument("followers_file", metavar="FOLLOWERS", type=click.File("rb"))
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="Of FOLLOWERS; by default told by its name or start."
)
@settings_options
@click.option("--batch-id", metavar="ID", help="The batch's ID; with the same ID again, only what is missing is added.")
@ttl_option()
@priority_option(Priority.BULK)
@click.option("--good-rows-only", is_flag=True, help="Send the good rows although there are bad ones.")
@click.option("--ignore-other-columns", is_flag=True, help="Pass over columns that are no fields.")
@click.option("--dry-run", is_flag=True, help="Check everything, print what would be sent, and write nothing.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Stay until all has ended. Ctrl-C leaves it.")
@timeout_option("the batch")
@pass_run
def fan_out(
    run: Run,
    /,
    followers_file: BinaryIO,
    form: Literal["csv", "jsonl"] | None,
    settings_file: BinaryIO | None,
    good_rows_only: bool,
    ignore_other_columns: bool,
    dry_run: bool,
    **options: Any,
) -> Exit:
    """Put one change for many followers into the queue, as one batch.

    FOLLOWERS is a CSV or JSON-lines file; - is standard input. A CSV needs the column user_id; further columns
    (trader_id, symbol, trace_value, ...) replace, row by row, what the flags and the settings file say. A line of JSON
    is a user ID, an object with a userId and fields to replace, or a whole change as `copytrade schema` describes it.

    All lines are checked first. If one is bad, each bad line is named and nothing is sent, unless --good-rows-only.
    """
    asked = {name: options.pop(name) for name in ("batch_id", "ttl_s", "priority", "wait", "timeout_s")}
    if settings_file is not None and settings_file is followers_file:
        raise BadInput("followers and settings cannot both come from standard input; put one of them into a file")
    template = given_template(settings_file, options)
    if "user_id" in template.fields:
        raise BadInput("userId: the settings of a fan-out are for all followers; take the user out of the file")
    name = str(getattr(followers_file, "name", ""))
    if followers_file.isatty():
        run.screen.note("reading followers from the terminal, one a line; Ctrl-D ends them")
    with readable_again(followers_file) as stream:
        followers = Followers(stream, form or form_of(name, stream), template, ignore_other_columns)
        survey = _survey(run, followers, name)
        if survey.bad and not good_rows_only:
            _show_faults(run, survey)
            if run.as_json:
                run.screen.json(
                    {"given": survey.good + survey.bad, "accepted": 0, "bad": survey.bad, **_faults(survey)}
                )
            raise Ended(
                Exit.BAD_INPUT,
                f"{count(survey.bad)} of {count(survey.good + survey.bad)} lines are bad and nothing was sent;"
                " correct them, or send the others with --good-rows-only",
            )
        _show_faults(run, survey)
        if not survey.good:
            raise BadInput("not one line is good; nothing was sent")
        if dry_run:
            return _show_what_would_be_sent(run, followers, survey)
        sending = Sending(
            run,
            followers,
            survey,
            batch_id=_new_batch_id() if asked["batch_id"] is None else asked["batch_id"],
            ttl_s=asked["ttl_s"],
            priority=Priority(asked["priority"]),
        )
        return sending.send(wait=asked["wait"], timeout_s=asked["timeout_s"])


def _survey(run: Run, followers: Followers, name: str) -> Survey:
    quiet = run.as_json or not run.screen.err.is_terminal
    try:
        spinner = nullcontext() if quiet else run.screen.err.status("checking every line")
        with interruptible(lambda: "nothing was sent"), spinner:
            return followers.survey()
    except BadInput as exc:
        raise BadInput(f"{name}: {exc}") from exc


def _new_batch_id() -> str:
    """Sorts by time, is readable, and is nobody else's."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def _show_faults(run: Run, survey: Survey) -> None:
    if not run.as_json:
        for line in fault_lines(survey.faults, survey.bad):
            run.screen.note(line)


def _faults(survey: Survey) -> dict[str, Any]:
    return {"faults": survey.faults, "faultsLeftOut": survey.bad - len(survey.faults)}


def _show_what_would_be_sent(run: Run, followers: Followers, survey: Survey) -> Exit:
    shown = 0
    for wanted in _wanted(followers):
        if run.as_json or shown < MOST_CHANGES_SHOWN:
            run.screen.json_line(wanted)
            shown += 1
    if not run.as_json:
        if survey.good > shown:
            run.screen.note(f"... and {count(survey.good - shown)} more; --json prints all")
        run.screen.note(f"{count(survey.good)} changes would be sent; nothing was written")
    return Exit.NOT_ALL if survey.bad else Exit.DONE


def _wanted(followers: Followers) -> Iterator[Any]:
    return (found.change for found in followers if not isinstance(found, Fault))
