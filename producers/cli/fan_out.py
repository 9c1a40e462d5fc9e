"""`copytrade fan-out`: one batch of changes for the followers of a file."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, BinaryIO, NoReturn

import click

from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.exit_codes import ExitCode
from producers.cli.fan_out_submission import FanOutSubmission
from producers.cli.input.followers import Followers, Format, ValidationReport, ValidRow, detect_format, ensure_seekable
from producers.cli.input.row_errors import BadInput
from producers.cli.settings_options import read_template, settings_options
from producers.cli.shared_options import interruptible, priority_option, timeout_option, ttl_option
from producers.cli.text import format_count
from producers.cli.views import row_error_lines
from producers.contract.messages import Priority
from producers.contract.wording import plural

MAX_CHANGES_SHOWN = 5


@click.command(
    "fan-out",
    cls=QueueCommand,
    short_help="Put changes for many followers into the queue.",
    examples=(
        "copytrade fan-out followers.csv --trader 123123123 --settings settings.json --batch-id july --no-wait",
        "copytrade fan-out followers.csv --trader 123123123 --settings settings.json --dry-run",
        "copytrade fan-out followers.jsonl --settings settings.json --no-wait",
    ),
)
@click.argument("followers_file", metavar="FOLLOWERS", type=click.File("rb"))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["csv", "jsonl"]),
    help="The format of FOLLOWERS; by default detected from its name or first line.",
)
@settings_options
@click.option("--batch-id", metavar="ID", help="The batch's ID; repeating the same ID adds only what is missing.")
@ttl_option()
@priority_option(Priority.BULK)
@click.option("--good-rows-only", is_flag=True, help="Send the valid rows even if others are invalid.")
@click.option("--ignore-other-columns", is_flag=True, help="Skip columns that are not fields.")
@click.option("--dry-run", is_flag=True, help="Check the input and print what would be sent, without writing to Redis.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Wait until all changes have ended. Ctrl-C stops waiting."
)
@timeout_option("the batch")
@pass_cli
def fan_out(
    cli: CliContext,
    /,
    followers_file: BinaryIO,
    file_format: Format | None,
    settings_file: BinaryIO | None,
    good_rows_only: bool,
    ignore_other_columns: bool,
    dry_run: bool,
    **options: Any,
) -> ExitCode:
    """Put changes for many followers into the queue, as one batch.

    FOLLOWERS is a CSV or JSON-lines file; - is standard input. A CSV file needs the column user_id; further columns
    (trader_id, symbol, trace_value, ...) replace, row by row, values of the flags and the settings file. A line of JSON
    is a user ID, an object with a userId and fields to replace, or a whole change as described by `copytrade schema`.

    All lines are checked first. If any line is invalid, each invalid line is listed and nothing is sent, unless
    --good-rows-only is given.
    """
    ttl_s, priority, batch_id = options.pop("ttl_s"), Priority(options.pop("priority")), options.pop("batch_id")
    wait, timeout_s = options.pop("wait"), options.pop("timeout_s")
    if settings_file is not None and settings_file is followers_file:
        raise BadInput("followers and settings cannot both come from standard input; put one of them into a file")
    template = read_template(settings_file, options)
    if "user_id" in template.fields:
        raise BadInput("userId: the settings of a fan-out are for all followers; remove the user from the file")
    name = str(getattr(followers_file, "name", ""))
    if followers_file.isatty():
        cli.screen.note("reading followers from the terminal, one a line; end with Ctrl-D")
    with ensure_seekable(followers_file) as stream:
        followers = Followers(stream, file_format or detect_format(name, stream), template, ignore_other_columns)
        report = _validate(cli, followers, name)
        _print_row_errors(cli, report)
        if report.invalid and not good_rows_only:
            _reject(cli, report)
        if not report.valid:
            raise BadInput("no line is valid; nothing was sent")
        if dry_run:
            return _print_changes(cli, followers, report)
        batch_id = _new_batch_id() if batch_id is None else batch_id
        submission = FanOutSubmission(cli, followers, report, batch_id=batch_id, ttl_s=ttl_s, priority=priority)
        return submission.send(wait=wait, timeout_s=timeout_s)


def _validate(cli: CliContext, followers: Followers, name: str) -> ValidationReport:
    quiet = cli.as_json or not cli.screen.err.is_terminal
    try:
        spinner = nullcontext() if quiet else cli.screen.err.status("checking every line")
        with interruptible(lambda: "nothing was sent"), spinner:
            return followers.validate()
    except BadInput as exc:
        raise BadInput(f"{name}: {exc}") from exc


def _new_batch_id() -> str:
    """Return a unique ID that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def _print_row_errors(cli: CliContext, report: ValidationReport) -> None:
    if not cli.as_json:
        for line in row_error_lines(report.errors, report.invalid):
            cli.screen.note(line)


def _reject(cli: CliContext, report: ValidationReport) -> NoReturn:
    total = report.valid + report.invalid
    if cli.as_json:
        cli.screen.json(
            {
                "given": total,
                "accepted": 0,
                "bad": report.invalid,
                "faults": report.errors,
                "faultsLeftOut": report.invalid - len(report.errors),
            }
        )
    raise BadInput(
        f"{format_count(report.invalid)} of {plural(total, 'line')} cannot be used, and nothing was sent; correct them"
        + (", or send the others with --good-rows-only" if report.valid else ""),
    )


def _print_changes(cli: CliContext, followers: Followers, report: ValidationReport) -> ExitCode:
    printed = 0
    for row in followers:
        if isinstance(row, ValidRow) and (cli.as_json or printed < MAX_CHANGES_SHOWN):
            cli.screen.json_line(row.change)
            printed += 1
    if not cli.as_json:
        if report.valid > printed:
            cli.screen.note(f"... and {format_count(report.valid - printed)} more; --json prints all")
        cli.screen.note(f"{plural(report.valid, 'change')} would be sent; nothing was written")
    return ExitCode.FAILED if report.invalid else ExitCode.DONE
