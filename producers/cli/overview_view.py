"""Text and tables of `copytrade top`: the state of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from producers.cli.screen import details_grid, grid
from producers.cli.text import EMPTY_CELL, format_count, format_duration, format_time
from producers.cli.views import outcome_counts
from producers.contract.wording import plural
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad, rates_per_s
from producers.monitor.worker_info import WorkerInfo

NOTHING_SCHEDULED = "no user is scheduled"
LANE_COLUMNS = ("user", "trader", "priority", "queued", "state", "wait", "rate")
EGRESS_COLUMNS = ("egress", "workers", "rate", "backlog", "state", "round trip", "pinned")
WORKER_COLUMNS = ("worker", "egress", "in flight", "ended", "requeued", "heartbeat", "version")

MAX_PAUSES = 5
MAX_WORKERS = 12


class OverviewTable(NamedTuple):
    """A table of the view.

    Attributes:
        columns: names of the columns.
        rows: one text for each column.
        empty_note: what to show instead of a table without rows.
        more: a line below the table; empty for none.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    empty_note: str
    more: str = ""


def render_overview(overview: Overview, previous: Overview | None) -> RenderableType:
    """Return the whole view for a terminal: totals, pauses, egresses, workers, then lanes.

    Args:
        overview: the current state.
        previous: an earlier state, from which rates are computed; None for a view without rates.
    """
    blocks: list[RenderableType] = [details_grid(summary(overview, previous))]
    for table in tables(overview):
        shown = grid(table.columns, table.rows) if table.rows else Text(table.empty_note, style="yellow")
        blocks += [Text(""), shown]
        if table.more:
            blocks.append(Text(table.more, style="dim"))
    return Group(*blocks)


def tables(overview: Overview) -> Iterator[OverviewTable]:
    """Yield the tables of the view."""
    yield OverviewTable(EGRESS_COLUMNS, list(map(_egress_row, overview.egresses)), "no egress in use")
    workers = overview.workers[:MAX_WORKERS]
    more = len(overview.workers) - MAX_WORKERS
    yield OverviewTable(
        WORKER_COLUMNS,
        [_worker_row(worker, overview.at_ms) for worker in workers],
        "no worker is alive: start one with python -m worker",
        f"... and {plural(more, 'more worker')}" if more > 0 else "",
    )
    yield OverviewTable(LANE_COLUMNS, list(map(_lane_row, overview.next_lanes)), NOTHING_SCHEDULED)


def summary(overview: Overview, previous: Overview | None) -> Iterator[tuple[str, str]]:
    """Yield the names and values above the tables; rates only if there is an earlier state."""
    yield "time", format_time(overview.at_ms)
    yield "in flight", plural(overview.in_flight, "lane")
    yield "interactive", _load(overview.interactive)
    yield "bulk", _load(overview.bulk)
    yield "ended", f"{format_count(overview.ended)}: {outcome_counts(overview.outcomes)}"
    if previous is not None:
        rates = {name: rate for name, rate in rates_per_s(previous, overview).items() if rate > 0}
        by_outcome = ", ".join(f"{rate:.1f}/s {name}" for name, rate in rates.items())
        yield "rate", f"{sum(rates.values()):.1f}/s{': ' if by_outcome else ''}{by_outcome}"
    if any(overview.dead.values()):
        yield "dead letters", outcome_counts(overview.dead)
    if overview.refused:
        yield "refused", f"{plural(overview.refused, 'user')} stopped: the exchange rejected their keys"
    if overview.unreadable:
        yield "unreadable", f"{plural(overview.unreadable, 'malformed entry')} in Redis that no worker could read"
    if overview.malformed:
        yield "left out", f"{plural(overview.malformed, 'entry')} in Redis that cannot be read"
    overrides = plural(overview.overrides, "user")
    yield "batches", f"{format_count(overview.batches)}; {overrides} with a limit of their own"
    if overview.paused_lanes:
        yield "paused", f"{plural(overview.paused_lanes, 'lane')} wait for the end of a pause of their user or trader"
    for pause in overview.pauses[:MAX_PAUSES]:
        yield "paused", f"{pause.kind} {pause.name} since {format_time(pause.since_ms)}"
    if overview.pauses_total > MAX_PAUSES:
        yield "paused", f"and {format_count(overview.pauses_total - MAX_PAUSES)} more: copytrade paused"


def _load(load: ScheduleLoad) -> str:
    waits = f", the first for {format_duration(load.oldest_due_s)}" if load.due else ""
    return f"{plural(load.users, 'user')}, {format_count(load.due)} due{waits}"


def _egress_row(egress: EgressStatus) -> tuple[str, ...]:
    return (
        egress.name,
        format_count(egress.workers),
        EMPTY_CELL if egress.rate_per_s is None else f"{egress.rate_per_s:g}/s",
        format_duration(egress.backlog_s),
        _egress_state(egress),
        EMPTY_CELL if egress.floor_ms is None else f"{egress.floor_ms:.0f} ms",
        format_count(egress.pinned_users),
    )


def _egress_state(egress: EgressStatus) -> str:
    if egress.pinned_users and not egress.workers:
        return "no worker"
    if egress.paused:
        return "paused"
    if egress.trouble is not None:
        return f"{egress.trouble}, next probe in {format_duration(egress.probe_in_s)}"
    return f"held {format_duration(egress.hold_s)}" if egress.hold_s > 0 else "ok"


def _worker_row(worker: WorkerInfo, now_ms: int) -> tuple[str, ...]:
    return (
        worker.name,
        worker.egress,
        f"{format_count(worker.in_flight)}/{format_count(worker.max_jobs)}",
        format_count(worker.ended),
        format_count(worker.requeued),
        f"{format_duration(max(0, now_ms - worker.beat_at_ms) / 1000)} ago",
        worker.version,
    )


def _lane_row(lane: NextLane) -> tuple[str, ...]:
    return (
        lane.user_id,
        lane.trader_id,
        lane.priority.value,
        format_count(lane.queued),
        _lane_state(lane),
        format_duration(max(0.0, lane.due_in_s)),
        EMPTY_CELL if lane.rate_per_s is None else f"{lane.rate_per_s:g}/s",
    )


def _lane_state(lane: NextLane) -> str:
    if lane.paused:
        return "paused"
    if lane.hold_s > 0:
        return f"held {format_duration(lane.hold_s)}"
    return "due" if lane.due_in_s <= 0 else "waits"
