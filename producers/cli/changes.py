"""`copytrade enqueue`, `status`, `result`, `cancel`: one change."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from producers import Cancellation, InvalidChange, JobResult, JobState, JobStatus, Outcome, Producer
from producers.cli.context import QueueCommand, Run, pass_run
from producers.cli.errors import Ended
from producers.cli.exit_codes import Exit
from producers.cli.formatting import ATTEMPT_COLUMNS, attempt_row, result_facts
from producers.cli.input.row_errors import BadInput
from producers.cli.input.template import Template
from producers.cli.screen import Screen
from producers.cli.settings_options import given_template, read_json, settings_options
from producers.cli.shared_options import interruptible, priority_option, timeout_option, ttl_option
from producers.contract.messages import Priority, SettingsChange


@click.command(cls=QueueCommand, short_help="Put one change into the queue.")
@click.argument("change_file", metavar="[CHANGE]", type=click.File("rb"), required=False)
@click.option("--user", "user_id", metavar="ID", help="The follower's user ID at the exchange.")
@settings_options
@click.option("--job-id", metavar="ID", help="The change's ID; the same ID again adds nothing.")
@ttl_option()
@priority_option(Priority.INTERACTIVE)
@click.option("--coalesce", is_flag=True, help="Let it go in one request with the changes before it.")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait for its result, and show it.")
@timeout_option("the result")
@pass_run
def enqueue(
    run: Run, /, change_file: BinaryIO | None, settings_file: BinaryIO | None, job_id: str | None, **options: Any
) -> Exit:
    """Put one change into the queue, and print its ID.

    The change is CHANGE, a file of JSON as `copytrade schema` describes it (- is standard input), or --user with
    settings from a file or flags. Flags replace what a file says.
    """
    ttl_s, timeout_s, wait = options.pop("ttl_s"), options.pop("timeout_s"), options.pop("wait")
    priority, coalesce = Priority(options.pop("priority")), options.pop("coalesce")
    change = _given_change(change_file, settings_file, options)
    accepted: list[str] = []

    async def work(producer: Producer) -> tuple[bool, JobResult | None]:
        job = await producer.enqueue(change, job_id=job_id, ttl_s=ttl_s, priority=priority, coalesce=coalesce)
        accepted.append(job.job_id)
        if wait and not run.as_json:
            there = "was there already, as it was first asked for; nothing was added"
            run.screen.note(f"{job.job_id}: {there if job.already_there else 'queued'}")
        return job.already_there, await job.result(timeout=timeout_s) if wait else None

    with interruptible(lambda: _how_to_follow(accepted)):
        already_there, ended = run.ask(work)
    if run.as_json:
        run.screen.json({"jobId": accepted[0], "alreadyThere": already_there, "result": ended})
    elif ended is not None:
        _show_result(run.screen, ended)
    else:
        run.screen.say(accepted[0])
        run.screen.note("was there already; nothing was added" if already_there else "queued")
    return _status_of(ended)


@click.command(cls=QueueCommand, short_help="Say where a change is.")
@click.argument("job_id")
@pass_run
def status(run: Run, job_id: str) -> Exit:
    """Say where a change is: queued, in flight or done."""

    async def work(producer: Producer) -> JobStatus:
        return await producer.job(job_id).status()

    found = run.ask(work)
    if found.state is JobState.NOT_FOUND:
        raise Ended(Exit.NOT_FOUND, f"no change {job_id}: check the ID; or its result has expired")
    if run.as_json:
        run.screen.json({"jobId": job_id, "state": found.state, "position": found.position, "result": found.result})
        return Exit.DONE
    facts = [("state", found.state.value.replace("_", " "))]
    if found.position is not None:
        facts.append(("before it", f"{found.position} changes of its lane"))
    run.screen.facts(facts)
    if found.result is not None:
        _show_result(run.screen, found.result)
    return Exit.DONE


@click.command(cls=QueueCommand, short_help="Show how a change ended.")
@click.argument("job_id")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until it has ended.")
@timeout_option("it")
@pass_run
def result(run: Run, job_id: str, wait: bool, timeout_s: float | None) -> Exit:
    """Show how a change ended, with every request that was made for it."""

    async def work(producer: Producer) -> JobResult:
        return await producer.job(job_id).result(timeout=timeout_s if wait else 0)

    with interruptible(lambda: _how_to_follow([job_id])):
        ended = run.ask(work)
    if run.as_json:
        run.screen.json(ended)
    else:
        _show_result(run.screen, ended)
    return _status_of(ended)


@click.command(cls=QueueCommand, short_help="Take back a change that was not sent yet.")
@click.argument("job_id")
@pass_run
def cancel(run: Run, job_id: str) -> Exit:
    """Take back a change that was not sent yet."""

    async def work(producer: Producer) -> Cancellation:
        return await producer.job(job_id).cancel()

    answer = run.ask(work)
    if answer is Cancellation.NOT_FOUND:
        raise Ended(Exit.NOT_FOUND, f"no change {job_id}: check the ID; or its result has expired")
    if run.as_json:
        run.screen.json({"jobId": job_id, "cancellation": answer})
    else:
        run.screen.say(_CANCELLATIONS[answer])
    return Exit.DONE if answer is Cancellation.CANCELLED else Exit.NOT_ALL


_CANCELLATIONS = {
    Cancellation.CANCELLED: "cancelled",
    Cancellation.IN_FLIGHT: "not cancelled: it is being sent",
    Cancellation.ENDED: "not cancelled: it had ended",
}


def _given_change(
    change_file: BinaryIO | None, settings_file: BinaryIO | None, flags: dict[str, Any]
) -> SettingsChange:
    if change_file is not None and settings_file is not None:
        raise BadInput("a change and --settings: give one of them; a change has its settings in it")
    if change_file is None:
        template = given_template(settings_file, flags)
    else:
        given = read_json(change_file)
        if not isinstance(given, dict):
            raise BadInput("CHANGE must be one change, a JSON object; many go with copytrade fan-out")
        template = Template.of(given).with_fields({name: value for name, value in flags.items() if value is not None})
    try:
        return template.change({})
    except InvalidChange as exc:
        raise BadInput(f"{exc}; correct the file or give the flag") from exc


def _show_result(screen: Screen, ended: JobResult) -> None:
    screen.facts(result_facts(ended))
    if ended.attempts:
        screen.table(ATTEMPT_COLUMNS, map(attempt_row, ended.attempts))


def _status_of(ended: JobResult | None) -> Exit:
    return Exit.DONE if ended is None or ended.outcome is Outcome.APPLIED else Exit.NOT_ALL


def _how_to_follow(accepted: list[str]) -> str:
    if not accepted:
        return "whether the change was accepted is unknown; with --job-id it is safe to repeat"
    return f"the change goes on; follow it with: copytrade result --wait {accepted[0]}"
