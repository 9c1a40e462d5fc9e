"""`copytrade batch ...`: the progress and results of fan-outs."""

from __future__ import annotations

from pathlib import Path

import click

from producers import CancelReport, Outcome, Producer, Progress
from producers.cli.context import CliContext, CommandGroup, pass_cli
from producers.cli.exit_codes import ExitCode
from producers.cli.number_types import WholeNumber
from producers.cli.progress_bar import BatchProgressBar, wait_until_complete
from producers.cli.result_reader import ResultFilter, ResultReader, open_output
from producers.cli.shared_options import interruptible, outcome_option, timeout_option
from producers.cli.text import format_count, format_duration, format_time
from producers.cli.views import outcome_counts
from producers.contract.wording import plural

LIST_COLUMNS = ("batch", "state", "priority", "total", "ended", "outcomes", "created")


@click.group(cls=CommandGroup, short_help="Follow, export, cancel and repeat fan-outs.")
def batch() -> None:
    """Follow, export, cancel and repeat fan-outs."""


@batch.command("list")
@click.option("--limit", type=WholeNumber(1, 10_000), default=100, show_default=True, help="How many to list at most.")
@pass_cli
def list_batches(cli: CliContext, limit: int) -> None:
    """List batches, newest first."""
    batches = cli.with_producer(lambda producer: producer.batches(limit=limit))
    cli.note_malformed(batches.malformed)
    if cli.as_json:
        for progress in batches:
            cli.screen.json_line(progress)
        return
    rows = (
        (
            progress.batch_id,
            _state(progress),
            progress.priority,
            format_count(progress.total),
            format_count(progress.ended),
            outcome_counts(progress.outcomes),
            format_time(progress.created_at_ms),
        )
        for progress in batches
    )
    cli.screen.table(LIST_COLUMNS, rows, empty_note="there are no batches")


@batch.command()
@click.argument("batch_id")
@pass_cli
def show(cli: CliContext, batch_id: str) -> None:
    """Show the progress of a batch."""
    cli.show(lambda producer: producer.batch(batch_id).progress(), lambda progress: _print_progress(cli, progress))


@batch.command()
@click.argument("batch_id")
@timeout_option("the end of the batch")
@pass_cli
def watch(cli: CliContext, batch_id: str, timeout_s: float | None) -> ExitCode:
    """Follow a batch until all of its changes have ended.

    Ctrl-C leaves it running. With --json, print its progress as a line whenever it changes.
    """
    last: Progress | None = None

    def on_progress(progress: Progress, bar: BatchProgressBar) -> None:
        nonlocal last
        bar.show_progress(progress)
        if cli.as_json:
            if progress != last:
                cli.screen.json_line(progress)
        elif last is None and not progress.sealed and not progress.complete:
            cli.screen.note(
                "the fan-out is still submitting changes; if it was interrupted, repeat it with the same --batch-id"
            )
        last = progress

    async def work(producer: Producer) -> Progress:
        with BatchProgressBar(cli, batch_id) as bar:
            return await wait_until_complete(
                producer.batch(batch_id), timeout_s, lambda progress: on_progress(progress, bar)
            )

    with interruptible(lambda: f"the batch continues; {_follow_hint(batch_id)}"):
        progress = cli.with_producer(work)
    if not cli.as_json:
        _print_progress(cli, progress)
    return _exit_code(progress)


@batch.command(
    short_help="Show or export the results so far.",
    examples=(
        "copytrade batch results july",
        "copytrade batch results july --failed --format csv --output failed.csv",
        "copytrade batch results july --json --follow",
    ),
)
@click.argument("batch_id")
@click.option("--after", metavar="CURSOR", help="Start after the position at which an earlier run stopped.")
@outcome_option()
@click.option("--failed", is_flag=True, help="Only changes that were not applied.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "jsonl"]),
    help="The format; by default table, jsonl with --json, or that of the name of --output.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, and replace it.")
@click.option("--follow", is_flag=True, help="Continue until the batch is complete.")
@pass_cli
def results(
    cli: CliContext,
    batch_id: str,
    after: str | None,
    outcome: Outcome | None,
    failed: bool,
    output_format: str | None,
    output: Path | None,
    follow: bool,
) -> None:
    """Show or export the results so far, in the order in which the changes ended.

    To continue later, use the --after that is printed to standard error.
    """
    if output_format is None and output is not None:
        output_format = "csv" if output.suffix.lower() == ".csv" else "jsonl"
    output_format = output_format or ("jsonl" if cli.as_json else "table")
    with open_output(cli.screen, output_format, output) as write:
        reader = ResultReader(ResultFilter(outcome, failed), write, cursor=after)
        with interruptible(reader.resume_hint):
            cli.with_producer(lambda producer: reader.read(producer.batch(batch_id), follow=follow))
    reader.print_summary(cli)


@batch.command(short_help="Cancel the changes that were not sent yet.")
@click.argument("batch_id")
@pass_cli
def cancel(cli: CliContext, batch_id: str) -> None:
    """Cancel the changes of a batch that were not sent yet. The batch accepts no more."""
    print_cancelled(cli, {"batchId": batch_id}, cli.with_producer(lambda producer: producer.batch(batch_id).cancel()))


@batch.command("retry-failed", short_help="Enqueue the failed changes again.")
@click.argument("batch_id")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until all changes have ended.")
@timeout_option("the new batch")
@pass_cli
def retry_failed(cli: CliContext, batch_id: str, wait: bool, timeout_s: float | None) -> ExitCode:
    """Enqueue the rejected, unauthorized and exhausted changes again as a new batch, and print its ID."""
    new_id = ""

    async def work(producer: Producer) -> Progress:
        nonlocal new_id
        new_batch = await producer.batch(batch_id).retry_failed()
        new_id = new_batch.batch_id
        if not wait:
            return await new_batch.progress()
        with BatchProgressBar(cli, new_id) as bar:
            return await wait_until_complete(new_batch, timeout_s, bar.show_progress)

    with interruptible(lambda: _follow_hint(new_id)):
        progress = cli.with_producer(work)
    if cli.as_json:
        cli.screen.json({"batchId": new_id, "progress": progress})
    elif wait:
        _print_progress(cli, progress)
    else:
        cli.screen.print(new_id)
        cli.screen.note(f"{plural(progress.total, 'change')}; {_follow_hint(new_id)}")
    return _exit_code(progress) if wait else ExitCode.DONE


def print_cancelled(cli: CliContext, target: dict[str, str], report: CancelReport) -> None:
    """Print how many changes of `target` were cancelled."""
    cli.note_malformed(report.malformed)
    if cli.as_json:
        cli.screen.json({**target, "cancelled": report.cancelled, "inFlight": report.in_flight})
        return
    cli.screen.details([("cancelled", format_count(report.cancelled)), ("in flight", format_count(report.in_flight))])
    if report.in_flight:
        cli.screen.note("changes in flight are being sent, and end with a result")


def _state(progress: Progress) -> str:
    if progress.cancelled:
        return "cancelled"
    if progress.complete:
        return "complete"
    return "running" if progress.sealed else "submitting"


def _print_progress(cli: CliContext, progress: Progress) -> None:
    if cli.as_json:
        cli.screen.json(progress)
        return
    details = [
        ("batch", progress.batch_id),
        ("state", _state(progress)),
        ("priority", progress.priority),
        ("total", format_count(progress.total)),
        ("queued", format_count(progress.queued)),
        ("in flight", format_count(progress.in_flight)),
        ("ended", format_count(progress.ended)),
        ("outcomes", outcome_counts(progress.outcomes)),
        ("created", format_time(progress.created_at_ms)),
        ("first sent", format_time(progress.started_at_ms)),
        ("finished", format_time(progress.finished_at_ms)),
    ]
    if not progress.complete:
        details.append(("time left, about", format_duration(progress.eta_s)))
    cli.screen.details(details)


def _exit_code(progress: Progress) -> ExitCode:
    all_applied = progress.outcomes.get(Outcome.APPLIED, 0) == progress.total
    return ExitCode.DONE if all_applied else ExitCode.FAILED


def _follow_hint(batch_id: str) -> str:
    if not batch_id:
        return "whether the new batch was created is unknown: copytrade batch list"
    return f"follow it with: copytrade batch watch {batch_id}"
