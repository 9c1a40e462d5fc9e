"""`copytrade enqueue`, `status`, `result`, `cancel`: a single change."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from producers import Cancellation, InvalidChange, JobResult, JobState, Outcome, Producer, QueueUnavailable
from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode, exit_code_for
from producers.cli.input.row_errors import BadInput, describe
from producers.cli.input.template import Template
from producers.cli.json_output import camel_case
from producers.cli.screen import Screen
from producers.cli.settings_options import read_json, read_template, settings_options
from producers.cli.shared_options import interruptible, priority_option, timeout_option, ttl_option
from producers.cli.text import format_time
from producers.cli.views import ATTEMPT_COLUMNS, attempt_row, result_details
from producers.contract.messages import Priority, SettingsChange
from producers.contract.wording import plural

DUPLICATE = "was enqueued before with this ID; nothing was added"
DETAILS = ("change", "attempts", "enqueued_at_ms", "expires_at_ms", "priority", "batch_id")
CANCELLATIONS = {
    Cancellation.CANCELLED: "cancelled",
    Cancellation.IN_FLIGHT: "not cancelled: it is being sent",
    Cancellation.ENDED: "not cancelled: it had ended",
}


@click.command(
    cls=QueueCommand,
    short_help="Put one change into the queue.",
    examples=(
        "copytrade enqueue change.json --job-id order-1",
        "copytrade enqueue --user 1001 --trader 123123123 --settings settings.json --wait --timeout 60",
        "copytrade enqueue --user 1001 --settings settings.json --trace-value 500",
    ),
)
@click.argument("change_file", metavar="[CHANGE]", type=click.File("rb"), required=False)
@click.option("--user", "user_id", metavar="ID", help="The follower's user ID at the exchange.")
@settings_options
@click.option("--job-id", metavar="ID", help="The change's ID; enqueueing the same ID again adds nothing.")
@ttl_option()
@priority_option(Priority.INTERACTIVE)
@click.option("--coalesce", is_flag=True, help="Allow one request for this change and the changes before it.")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait for the result and show it.")
@timeout_option("the result")
@pass_cli
def enqueue(
    cli: CliContext, /, change_file: BinaryIO | None, settings_file: BinaryIO | None, job_id: str | None, **options: Any
) -> ExitCode:
    """Put one change into the queue and print its ID.

    The change is CHANGE, a JSON file as described by `copytrade schema` (- is standard input), or --user with settings
    from a file or flags. Flags replace values of the file.
    """
    ttl_s, timeout_s, wait = options.pop("ttl_s"), options.pop("timeout_s"), options.pop("wait")
    priority, coalesce = Priority(options.pop("priority")), options.pop("coalesce")
    change = _read_change(change_file, settings_file, options)
    accepted: list[str] = []

    async def work(producer: Producer) -> tuple[bool, JobResult | None]:
        job = await producer.enqueue(change, job_id=job_id, ttl_s=ttl_s, priority=priority, coalesce=coalesce)
        accepted.append(job.job_id)
        if wait and not cli.as_json:
            cli.screen.note(f"{job.job_id}: {DUPLICATE if job.already_there else 'queued'}")
        if not wait:
            return job.already_there, None
        try:
            return job.already_there, await job.result(timeout=timeout_s)
        except QueueUnavailable as exc:
            raise CommandFailed(exit_code_for(exc), f"{exc}; {_follow_hint(accepted)}") from exc

    with interruptible(lambda: _follow_hint(accepted)):
        already_there, job_result = cli.with_producer(work)
    if cli.as_json:
        cli.screen.json({"jobId": accepted[0], "alreadyThere": already_there, "result": job_result})
    elif job_result is not None:
        _print_result(cli.screen, job_result)
    else:
        cli.screen.print(accepted[0])
        cli.screen.note(DUPLICATE if already_there else "queued")
    return ExitCode.DONE if job_result is None else _exit_code(job_result)


@click.command(cls=QueueCommand, short_help="Show the state of a change.")
@click.argument("job_id")
@pass_cli
def status(cli: CliContext, job_id: str) -> ExitCode:
    """Show the state of a change: queued, and why it waits; in flight; or done. With every request so far."""
    found = cli.with_producer(lambda producer: producer.job(job_id).details())
    now = found.status
    if now.state is JobState.NOT_FOUND:
        raise _not_found(job_id)
    if cli.as_json:
        fields = {"state": now.state, "position": now.position, "wait": now.wait, "result": now.result}
        cli.screen.json({"jobId": job_id} | fields | {camel_case(name): getattr(found, name) for name in DETAILS})
        return ExitCode.DONE
    details = [("state", now.state.value.replace("_", " "))]
    if now.position is not None:
        details.append(("before it", f"{plural(now.position, 'change')} of its lane"))
    if now.wait is not None:
        details.append(("waits", now.wait.message))
        if now.wait.expected_at_ms is not None:
            details.append(("expected", format_time(now.wait.expected_at_ms)))
    if found.expires_at_ms is not None and now.result is None:
        details.append(("deadline", format_time(found.expires_at_ms)))
    cli.screen.details(details)
    if now.result is not None:
        _print_result(cli.screen, now.result)
    elif found.attempts:
        cli.screen.table(ATTEMPT_COLUMNS, map(attempt_row, found.attempts))
    return ExitCode.DONE


@click.command(cls=QueueCommand, short_help="Show the result of a change.")
@click.argument("job_id")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until the change has ended.")
@timeout_option("the result")
@pass_cli
def result(cli: CliContext, job_id: str, wait: bool, timeout_s: float | None) -> ExitCode:
    """Show the result of a change, with every request that was sent for it."""
    with interruptible(lambda: _follow_hint([job_id])):
        found = cli.with_producer(lambda producer: producer.job(job_id).result(timeout=timeout_s if wait else 0))
    if cli.as_json:
        cli.screen.json(found)
    else:
        _print_result(cli.screen, found)
    return _exit_code(found)


@click.command(cls=QueueCommand, short_help="Cancel a change that was not sent yet.")
@click.argument("job_id")
@pass_cli
def cancel(cli: CliContext, job_id: str) -> ExitCode:
    """Cancel a change that was not sent yet."""
    cancellation = cli.with_producer(lambda producer: producer.job(job_id).cancel())
    if cancellation is Cancellation.NOT_FOUND:
        raise _not_found(job_id)
    cli.print_result({"jobId": job_id, "cancellation": cancellation}, CANCELLATIONS[cancellation])
    return ExitCode.DONE if cancellation is Cancellation.CANCELLED else ExitCode.FAILED


def _read_change(change_file: BinaryIO | None, settings_file: BinaryIO | None, flags: dict[str, Any]) -> SettingsChange:
    if change_file is not None and settings_file is not None:
        raise BadInput("CHANGE and --settings cannot be combined; a change contains its settings")
    if change_file is None:
        template = read_template(settings_file, flags)
    else:
        value = read_json(change_file)
        if not isinstance(value, dict):
            raise BadInput("CHANGE must be one change, a JSON object; for many changes use copytrade fan-out")
        fields = {name: value for name, value in flags.items() if value is not None}
        template = Template.from_json(value).with_fields(fields)
    try:
        return template.change({})
    except InvalidChange as exc:
        has_file = change_file is not None or settings_file is not None
        remedy = "correct the file or give the flag" if has_file else "see the flags of copytrade enqueue --help"
        raise BadInput(f"{describe(exc)}; {remedy}") from exc


def _print_result(screen: Screen, result: JobResult) -> None:
    screen.details(result_details(result))
    if result.attempts:
        screen.table(ATTEMPT_COLUMNS, map(attempt_row, result.attempts))


def _exit_code(result: JobResult) -> ExitCode:
    return ExitCode.DONE if result.outcome is Outcome.APPLIED else ExitCode.FAILED


def _not_found(job_id: str) -> CommandFailed:
    return CommandFailed(ExitCode.NOT_FOUND, f"no change {job_id}: the ID is wrong, or its result has expired")


def _follow_hint(accepted: list[str]) -> str:
    if not accepted:
        return "whether the change was accepted is unknown; with --job-id it is safe to repeat the command"
    return f"the change continues; follow it with: copytrade result --wait {accepted[0]}"
