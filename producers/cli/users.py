"""`copytrade user ...`: one user's lanes, hold, pause and limit."""

from __future__ import annotations

import click

from producers import CancelReport, Producer, UserStatus
from producers.cli.batches import show_cancelled
from producers.cli.context import Family, Run, pass_run
from producers.cli.input.row_errors import BadInput
from producers.cli.pauses import show_paused, show_resumed
from producers.cli.text import NOTHING, count, duration, safe

LANE_COLUMNS = ("trader", "queued", "in flight", "due", "priority", "head")


@click.group(cls=Family, short_help="Show, pause, limit one user, or cancel what waits.")
def user() -> None:
    """Show, pause and limit one user, or cancel what waits of them."""


@user.command()
@click.argument("user_id")
@pass_run
def show(run: Run, user_id: str) -> None:
    """Show a user's lanes, hold, pause and limit."""

    async def work(producer: Producer) -> UserStatus:
        return await producer.user_status(user_id)

    found = run.ask(work)
    if run.as_json:
        run.screen.json(found)
        return
    run.screen.facts(
        [
            ("user", user_id),
            ("paused", "yes" if found.paused else "no"),
            ("limit", "as for all" if found.rate_per_s is None else f"{found.rate_per_s:g} requests a second"),
            ("slowed", "no" if found.slowed == 1 else f"{found.slowed:g} times, after a 429; brought back by steps"),
            ("keys", "not refused" if found.refused_code is None else _refused(found.refused_code)),
            ("hold", f"for {duration(found.hold_s)}, after a 429" if found.hold_s > 0 else "none"),
        ]
    )
    rows = (
        (
            lane.trader_id,
            count(lane.queued),
            "yes" if lane.in_flight else "no",
            NOTHING if lane.in_flight else duration(max(0.0, lane.due_in_s)),
            lane.priority.value,
            lane.head,
        )
        for lane in found.lanes
    )
    run.screen.table(LANE_COLUMNS, rows, nothing="nothing is queued")


@user.command()
@click.argument("user_id")
@pass_run
def pause(run: Run, user_id: str) -> None:
    """Send nothing of this user until `resume`; what is queued stays."""

    async def work(producer: Producer) -> bool:
        return await producer.pause(user_id=user_id)

    show_paused(run, run.ask(work))


@user.command()
@click.argument("user_id")
@pass_run
def resume(run: Run, user_id: str) -> None:
    """End a pause."""

    async def work(producer: Producer) -> bool:
        return await producer.resume(user_id=user_id)

    show_resumed(run, run.ask(work))


@user.command()
@click.argument("user_id")
@click.argument("rate_per_s", metavar="[RATE]", type=float, required=False)
@click.option("--remove", is_flag=True, help="Back to the limit that all users have.")
@pass_run
def limit(run: Run, user_id: str, rate_per_s: float | None, remove: bool) -> None:
    """Give a user a limit of their own: RATE requests a second."""
    if remove is (rate_per_s is not None):
        raise BadInput("give either a rate, such as 5, or --remove")

    async def work(producer: Producer) -> None:
        await producer.limit_user(user_id, rate_per_s)

    run.ask(work)
    if run.as_json:
        run.screen.json({"userId": user_id, "ratePerS": rate_per_s})
    else:
        run.screen.say("the limit is as for all" if rate_per_s is None else f"limited to {rate_per_s:g} a second")


@user.command()
@click.argument("user_id")
@pass_run
def cancel(run: Run, user_id: str) -> None:
    """Take back everything of this user that was not sent yet."""

    async def work(producer: Producer) -> CancelReport:
        return await producer.cancel_user(user_id)

    show_cancelled(run, {"userId": user_id}, run.ask(work))


def _refused(code: str) -> str:
    return safe(f"refused with {code}; changes end unauthorized until they are replaced, or the user is resumed")
