"""`copytrade batch ...`: what became of a fan-out."""

from __future__ import annotations

from pathlib import Path

import click

from producers import CancelReport, Outcome, Producer, Progress
from producers.cli.context import Family, Run, pass_run
from producers.cli.exit_codes import Exit
from producers.cli.formatting import outcome_counts
from producers.cli.progress_bar import BatchBar, until_complete
from producers.cli.result_reader import Kept, Reading, target
from producers.cli.shared_options import interruptible, outcome_option, timeout_option
from producers.cli.text import count, duration, when

LIST_COLUMNS = ("batch", "state", "priority", "total", "ended", "outcomes", "created")


@click.group(cls=Family, short_help="Follow, export, cancel and repeat fan-outs.")
def batch() -> None:
    """Follow, export, cancel and repeat fan-outs."""


@batch.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many, newest first.")
@pass_run
def list_batches(run: Run, limit: int) -> None:
    """List batches, newest first."""

    async def work(producer: Producer) -> list[Progress]:
        return await producer.batches(limit=limit)

    found = run.ask(work)
    if run.as_json:
        for progress in found:
            run.screen.json_line(progress)
        return
    rows = (
        (
            progress.batch_id,
            state_of(progress),
            progress.priority,
            count(progress.total),
            count(progress.ended),
            outcome_counts(progress.outcomes),
            when(progress.created_at_ms),
        )
        for progress in found
    )
    run.screen.table(LIST_COLUMNS, rows, nothing="there are no batches")


@batch.command()
@click.argument("batch_id")
@pass_run
def show(run: Run, batch_id: str) -> None:
    """Show how far a batch is."""

    async def work(producer: Producer) -> Progress:
        return await producer.batch(batch_id).progress()

    _show(run, run.ask(work))


@batch.command()
@click.argument("batch_id")
@timeout_option("the end of the batch")
@pass_run
def watch(run: Run, batch_id: str, timeout_s: float | None) -> Exit:
    """Follow a batch until all of it has ended; Ctrl-C leaves it running. With --json, a line for each change."""
    told: list[Progress] = []

    def tell(progress: Progress, bar: BatchBar) -> None:
        bar.sending(progress)
        if run.as_json and (not told or told[-1] != progress):
            run.screen.json_line(progress)
        if not progress.sealed and not progress.complete and not told and not run.as_json:
            run.screen.note(
                "its fan-out is not finished yet; if it was interrupted, repeat it with the same --batch-id"
            )
        told[:] = [progress]

    async def work(producer: Producer) -> Progress:
        with BatchBar(run, batch_id) as bar:
            return await until_complete(producer.batch(batch_id), timeout_s, lambda progress: tell(progress, bar))

    with interruptible(lambda: f"the batch goes on; follow it with: copytrade batch watch {batch_id}"):
        progress = run.ask(work)
    if not run.as_json:
        _show(run, progress)
    return Exit.DONE if progress.outcomes.get(Outcome.APPLIED, 0) == progress.total else Exit.NOT_ALL


@batch.command()
@click.argument("batch_id")
@click.option("--after", metavar="CURSOR", help="Begin after the position that an earlier reading ended with.")
@outcome_option()
@click.option("--failed", is_flag=True, help="Only what was not applied.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "jsonl"]), help="By default table; jsonl with --json."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, and replace it.")
@click.option("--follow", is_flag=True, help="Go on until the batch is complete.")
@pass_run
def results(
    run: Run,
    batch_id: str,
    after: str | None,
    outcome: Outcome | None,
    failed: bool,
    form: str | None,
    output: Path | None,
    follow: bool,
) -> None:
    """Show or export the results there are, in the order in which they came.

    Standard error says with which --after to go on.
    """
    kept = Kept(outcome=outcome, failed=failed)
    if form is None and output is not None:
        form = "csv" if output.suffix.lower() == ".csv" else "jsonl"
    form = form or ("jsonl" if run.as_json else "table")
    with target(run.screen, form, output) as write:
        reading = Reading(kept, write, cursor=after)
        with interruptible(reading.how_to_go_on):
            run.ask(lambda producer: reading.read(producer.batch(batch_id), follow=follow))
    reading.report(run)


@batch.command()
@click.argument("batch_id")
@pass_run
def cancel(run: Run, batch_id: str) -> None:
    """Take back what was not sent yet; the batch accepts nothing more."""

    async def work(producer: Producer) -> CancelReport:
        return await producer.batch(batch_id).cancel()

    show_cancelled(run, {"batchId": batch_id}, run.ask(work))


@batch.command("retry-failed")
@click.argument("batch_id")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Stay until all has ended.")
@timeout_option("the new batch")
@pass_run
def retry_failed(run: Run, batch_id: str, wait: bool, timeout_s: float | None) -> Exit:
    """Put what was rejected, unauthorized or exhausted into the queue again, as a new batch; print its ID."""
    begun: list[str] = []

    async def work(producer: Producer) -> Progress:
        again = await producer.batch(batch_id).retry_failed()
        begun.append(again.batch_id)
        if not wait:
            return await again.progress()
        with BatchBar(run, again.batch_id) as bar:
            return await until_complete(again, timeout_s, bar.sending)

    with interruptible(lambda: _how_to_follow(begun)):
        progress = run.ask(work)
    if run.as_json:
        run.screen.json({"batchId": begun[0], "progress": progress})
    elif wait:
        _show(run, progress)
    else:
        run.screen.say(begun[0])
        run.screen.note(f"{count(progress.total)} changes; {_how_to_follow(begun)}")
    return Exit.NOT_ALL if wait and progress.outcomes.get(Outcome.APPLIED, 0) < progress.total else Exit.DONE


def state_of(progress: Progress) -> str:
    """A batch's state in a word or two."""
    if progress.cancelled:
        return "cancelled"
    if progress.complete:
        return "complete"
    return "running" if progress.sealed else "not all given"


def show_cancelled(run: Run, what: dict[str, str], report: CancelReport) -> None:
    """What a cancellation came to."""
    if run.as_json:
        run.screen.json({**what, "cancelled": report.cancelled, "inFlight": report.in_flight})
        return
    run.screen.facts([("cancelled", count(report.cancelled)), ("in flight", count(report.in_flight))])
    if report.in_flight:
        run.screen.note("what is in flight is being sent, and ends by itself")


def _show(run: Run, progress: Progress) -> None:
    if run.as_json:
        run.screen.json(progress)
        return
    facts = [
        ("batch", progress.batch_id),
        ("state", state_of(progress)),
        ("priority", progress.priority),
        ("total", count(progress.total)),
        ("queued", count(progress.queued)),
        ("in flight", count(progress.in_flight)),
        ("ended", count(progress.ended)),
        ("outcomes", outcome_counts(progress.outcomes)),
        ("created", when(progress.created_at_ms)),
        ("first sent", when(progress.started_at_ms)),
        ("finished", when(progress.finished_at_ms)),
    ]
    if not progress.complete:
        facts.append(("time left", duration(progress.eta_s)))
    run.screen.facts(facts)


def _how_to_follow(begun: list[str]) -> str:
    if not begun:
        return "whether the new batch was begun is unknown: copytrade batch list"
    return f"follow it with: copytrade batch watch {begun[0]}"
