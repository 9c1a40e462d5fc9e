"""`copytrade user ...`: one user's lanes, hold, pause and limit, and the deletion of all that is kept of one."""

from __future__ import annotations

import click

from producers import ForgetReport
from producers.cli import pins
from producers.cli.batches import print_cancelled
from producers.cli.context import CliContext, CommandGroup, pass_cli
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.cli.number_types import Number, WholeNumber
from producers.cli.pauses import print_paused, print_resumed
from producers.cli.shared_options import confirm, yes_option
from producers.cli.text import EMPTY_CELL, escape, format_count, format_duration
from producers.contract.validation import MAX_RATE_PER_S, MIN_RATE_PER_S
from producers.contract.wording import plural
from producers.queue.user_status import MAX_JOBS_SHOWN, BucketStatus

LANE_COLUMNS = ("trader", "queued", "in flight", "due", "priority", "head")
JOB_COLUMNS = ("trader", "job")


@click.group(cls=CommandGroup, short_help="Show, pause, limit or forget one user, or cancel the user's changes.")
def user() -> None:
    """Show, pause, limit or forget one user, or cancel the user's changes."""


@user.command(
    short_help="Show a user's lanes, hold, pause and limit.",
    examples=("copytrade user show 1001", "copytrade user show 1001 --changes 20"),
)
@click.argument("user_id")
@click.option(
    "--changes", type=WholeNumber(0, MAX_JOBS_SHOWN), default=0, show_default=True, help="Show so many of each lane."
)
@pass_cli
def show(cli: CliContext, user_id: str, changes: int) -> None:
    """Show a user's lanes, hold, pause and limit, and what it has used of the limit."""
    status = cli.with_producer(lambda producer: producer.user_status(user_id, changes=changes))
    cli.note_malformed(status.malformed)
    if cli.as_json:
        cli.screen.json(status)
        return
    limit = "the default" if status.rate_per_s is None else f"{status.rate_per_s:g} requests a second"
    slowed = "no" if status.slowed == 1 else f"{status.slowed:g} times, after a 429; restored step by step"
    cli.screen.details(
        [
            ("user", user_id),
            ("paused", "yes" if status.paused else "everything is" if status.everything_paused else "no"),
            ("limit", limit),
            ("requests", _requests(status.bucket)),
            ("next slot", _next_slot(status.bucket)),
            ("slowed", slowed),
            ("keys", "not refused" if status.refused_code is None else _rejected_keys(status.refused_code)),
            ("egress", "any" if status.egress is None else f"{status.egress} only"),
            ("hold", f"for {format_duration(status.hold_s)}" if status.hold_s > 0 else "none"),
        ]
    )
    rows = (
        (
            lane.trader_id,
            format_count(lane.queued),
            "yes" if lane.in_flight else "no",
            "trader paused" if lane.parked else EMPTY_CELL if lane.due_in_s is None else format_duration(lane.due_in_s),
            lane.priority.value,
            lane.head,
        )
        for lane in status.lanes
    )
    cli.screen.table(LANE_COLUMNS, rows, empty_note="nothing is queued")
    if changes and status.lanes:
        cli.screen.table(JOB_COLUMNS, ((lane.trader_id, job_id) for lane in status.lanes for job_id in lane.jobs))


@user.command(short_help="Send nothing for this user until `resume`.")
@click.argument("user_id")
@pass_cli
def pause(cli: CliContext, user_id: str) -> None:
    """Send nothing for this user until `resume`; queued changes stay queued."""
    print_paused(cli, changed=cli.with_producer(lambda producer: producer.pause(user_id=user_id)))


@user.command()
@click.argument("user_id")
@pass_cli
def resume(cli: CliContext, user_id: str) -> None:
    """End the pause of this user."""
    print_resumed(cli, changed=cli.with_producer(lambda producer: producer.resume(user_id=user_id)))


@user.command(
    short_help="Set or remove a limit of this user's own.",
    examples=("copytrade user limit 1001 5", "copytrade user limit 1001 --remove"),
)
@click.argument("user_id")
@click.argument("rate_per_s", metavar="[RATE]", type=Number(MIN_RATE_PER_S, MAX_RATE_PER_S), required=False)
@click.option("--remove", is_flag=True, help="Return to the default limit.")
@pass_cli
def limit(cli: CliContext, user_id: str, rate_per_s: float | None, remove: bool) -> None:
    """Limit a user to RATE requests a second, instead of the default."""
    if remove is (rate_per_s is not None):
        raise BadInput("give either a rate, such as 5, or --remove")
    cli.with_producer(lambda producer: producer.limit_user(user_id, rate_per_s))
    text = "the default limit applies" if rate_per_s is None else f"limited to {rate_per_s:g} requests a second"
    cli.print_result({"userId": user_id, "ratePerS": rate_per_s}, text)


@user.command()
@click.argument("user_id")
@pass_cli
def cancel(cli: CliContext, user_id: str) -> None:
    """Cancel all changes of this user that were not sent yet."""
    print_cancelled(cli, {"userId": user_id}, cli.with_producer(lambda producer: producer.cancel_user(user_id)))


@user.command(
    short_help="Delete all that Redis keeps of a user.",
    examples=("copytrade user forget 1001 --yes",),
)
@click.argument("user_id")
@yes_option()
@pass_cli
def forget(cli: CliContext, user_id: str, yes: bool) -> ExitCode:
    """Cancel a user's queued changes and delete all that Redis keeps of the user, sealed API keys included.

    Stop enqueuing for the user first. While a change is in flight, nothing else is deleted: run it again when that has
    ended. Logs, backups, a file of credentials and `submit` jobs that no worker has read yet are not reached; access
    keys of the gateway that are bound to the user are listed. What keeps the rate limit deletes itself. It reads all
    results, so it takes seconds in a large queue. It needs a Redis user that may SCAN.
    """
    confirm(f"Delete all that is kept of user {user_id}, API keys in Redis included?", yes=yes)
    report = cli.with_producer(lambda producer: producer.forget_user(user_id))
    if cli.as_json:
        cli.screen.json(report)
    else:
        _print_forgotten(cli, report)
    if not report.complete:
        left = f"{plural(report.in_flight, 'change')} in flight" if report.in_flight else "changes that came meanwhile"
        cli.screen.note(f"not complete: user {user_id} has {left}; run it again when they have ended")
        return ExitCode.FAILED
    return ExitCode.DONE


def _print_forgotten(cli: CliContext, report: ForgetReport) -> None:
    cli.screen.details(
        [
            ("cancelled", format_count(report.cancelled)),
            ("in flight", format_count(report.in_flight)),
            ("results deleted", format_count(report.results)),
            ("dead letters deleted", format_count(report.dead_letters)),
            ("batch entries deleted", format_count(report.batch_entries)),
            ("settings deleted", ", ".join(report.settings) or "none"),
        ]
    )
    if report.bucket_expires_in_s:
        left = format_duration(report.bucket_expires_in_s)
        cli.screen.note(f"the record of the last requests, which keeps the rate limit, deletes itself in {left}")
    for key_id in report.access_keys:
        cli.screen.note(
            f"access key {key_id} is bound to the user; delete it with: copytrade gateway-keys revoke {key_id}"
        )


for command in (pins.pin, pins.unpin, pins.pins):
    user.add_command(command)


def _rejected_keys(code: str) -> str:
    return escape(f"refused with {code}; changes end unauthorized until the keys are replaced or the user is resumed")


def _requests(bucket: BucketStatus | None) -> str:
    if bucket is None:
        return "none lately"
    return f"{bucket.requests} of {bucket.per_window} in {format_duration(bucket.window_s)}"


def _next_slot(bucket: BucketStatus | None) -> str:
    if bucket is not None and bucket.next_slot_in_s is None:
        return "when a request in flight has its reply"
    return "now" if bucket is None or not bucket.next_slot_in_s else f"in {format_duration(bucket.next_slot_in_s)}"
