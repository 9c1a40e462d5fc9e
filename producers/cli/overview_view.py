"""Text and tables of `copytrade top`: the state of the queue."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from producers.cli.screen import grid
from producers.cli.text import EMPTY_CELL, escape, format_count, format_duration, format_time
from producers.cli.views import outcome_counts
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad, rates_per_s
from producers.monitor.worker_info import WorkerInfo

LANE_COLUMNS = ("user", "trader", "priority", "queued", "state", "wait", "rate")
EGRESS_COLUMNS = ("egress", "workers", "rate", "backlog", "state", "round trip")
WORKER_COLUMNS = ("worker", "egress", "in hand", "ended", "put back", "beat", "version")

MAX_PAUSES = 5
MAX_WORKERS = 12


def render_overview(overview: Overview, previous: Overview | None) -> RenderableType:
    """Return the whole view: totals, pauses, egresses, workers, then lanes.

    Args:
        overview: the current state.
        previous: an earlier state, from which rates are computed; None for a view without rates.
    """
    blocks: list[RenderableType] = [Text("\n".join(_summary(overview, previous)))]
    if overview.pauses:
        blocks.append(Text("\n".join(_pauses(overview)), style="yellow"))
    egresses = grid(EGRESS_COLUMNS, map(_egress_row, overview.egresses))
    blocks += [Text(""), egresses if overview.egresses else Text("no egress in use"), Text("")]
    if overview.workers:
        workers = overview.workers[:MAX_WORKERS]
        blocks.append(grid(WORKER_COLUMNS, (_worker_row(worker, overview.at_ms) for worker in workers)))
        more = overview.workers_total - MAX_WORKERS
        if more > 0:
            blocks.append(Text(f"... and {format_count(more)} more workers", style="dim"))
    else:
        blocks.append(Text("no worker is alive: start one with python -m worker", style="bold red"))
    lanes = grid(LANE_COLUMNS, map(_lane_row, overview.next_lanes))
    blocks += [Text(""), lanes if overview.next_lanes else Text("no lane is waiting")]
    return Group(*blocks)


def _summary(overview: Overview, previous: Overview | None) -> Iterator[str]:
    totals = f"{format_count(overview.lanes)} lanes, {format_count(overview.in_hand)} changes in hand"
    yield f"{format_time(overview.at_ms)}   {totals}"
    yield f"interactive  {_load(overview.interactive)}"
    yield f"bulk         {_load(overview.bulk)}"
    yield f"ended        {format_count(overview.ended)}: {outcome_counts(overview.outcomes)}"
    if previous is not None:
        rates = {name: rate for name, rate in rates_per_s(previous, overview).items() if rate > 0}
        by_outcome = ", ".join(f"{rate:.1f}/s {name}" for name, rate in rates.items())
        yield f"rate         {sum(rates.values()):.1f}/s{': ' if by_outcome else ''}{by_outcome}"
    if any(overview.dead.values()):
        yield f"dead letters {outcome_counts(overview.dead)}"
    if overview.refused:
        yield f"refused      {format_count(overview.refused)} users are stopped: the exchange rejected their keys"
    if overview.unreadable:
        yield f"unreadable   {format_count(overview.unreadable)} malformed entries in Redis that no worker could read"
    if overview.malformed:
        yield f"left out     {format_count(overview.malformed)} entries in Redis that cannot be read"
    overrides = format_count(overview.overrides)
    yield f"batches      {format_count(overview.batches)}, users with their own limit {overrides}"


def _load(load: ScheduleLoad) -> str:
    waits = f", the first for {format_duration(load.oldest_due_s)}" if load.due else ""
    return f"{format_count(load.lanes)} lanes, {format_count(load.due)} due{waits}"


def _pauses(overview: Overview) -> Iterator[str]:
    for pause in overview.pauses[:MAX_PAUSES]:
        yield escape(f"paused       {pause.kind} {pause.name} since {format_time(pause.since_ms)}")
    if overview.pauses_total > MAX_PAUSES:
        yield f"             and {format_count(overview.pauses_total - MAX_PAUSES)} more: copytrade paused"


def _egress_row(egress: EgressStatus) -> tuple[str, ...]:
    return (
        egress.name,
        format_count(egress.workers),
        EMPTY_CELL if egress.rate_per_s is None else f"{egress.rate_per_s:g}/s",
        format_duration(egress.backlog_s),
        _egress_state(egress),
        EMPTY_CELL if egress.floor_ms is None else f"{egress.floor_ms:.0f} ms",
    )


def _egress_state(egress: EgressStatus) -> str:
    if egress.paused:
        return "paused"
    if egress.trouble is not None:
        return escape(f"{egress.trouble}, next probe in {format_duration(egress.probe_in_s)}")
    return f"held {format_duration(egress.hold_s)}" if egress.hold_s > 0 else "ok"


def _worker_row(worker: WorkerInfo, now_ms: int) -> tuple[str, ...]:
    return (
        worker.name,
        worker.egress,
        f"{format_count(worker.in_hand)}/{format_count(worker.max_jobs)}",
        format_count(worker.ended),
        format_count(worker.put_back),
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
        EMPTY_CELL if lane.in_flight else format_duration(max(0.0, lane.due_in_s)),
        EMPTY_CELL if lane.rate_per_s is None else f"{lane.rate_per_s:g}/s",
    )


def _lane_state(lane: NextLane) -> str:
    if lane.paused:
        return "paused"
    if lane.in_flight:
        return "in flight"
    if lane.hold_s > 0:
        return f"held {format_duration(lane.hold_s)}"
    return "due" if lane.due_in_s <= 0 else "waits"
