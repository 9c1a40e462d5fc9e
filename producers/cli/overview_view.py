"""The queue at one moment, as people watch it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from producers.cli.formatting import outcome_counts
from producers.cli.screen import grid
from producers.cli.text import NOTHING, count, duration, safe, when
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad, rates_per_s
from producers.monitor.worker_info import WorkerInfo

LANE_COLUMNS = ("user", "trader", "priority", "queued", "state", "wait", "rate")
EGRESS_COLUMNS = ("egress", "workers", "rate", "backlog", "state", "round trip")
WORKER_COLUMNS = ("worker", "egress", "in hand", "ended", "put back", "beat", "version")

MOST_PAUSES = 5
MOST_WORKERS = 12


def view(now: Overview, earlier: Overview | None) -> RenderableType:
    """All of it, from the most general to the single lane.

    Args:
        now: the moment.
        earlier: the moment before, for rates; None if there was none.
    """
    blocks: list[RenderableType] = [Text("\n".join(_summary(now, earlier)))]
    if now.pauses:
        blocks.append(Text("\n".join(_pauses(now)), style="yellow"))
    blocks.append(Text(""))
    blocks.append(grid(EGRESS_COLUMNS, map(_egress_row, now.egresses)) if now.egresses else Text("no egress in use"))
    blocks.append(Text(""))
    if now.workers:
        blocks.append(grid(WORKER_COLUMNS, (_worker_row(worker, now) for worker in now.workers[:MOST_WORKERS])))
        if now.workers_total > MOST_WORKERS:
            blocks.append(Text(f"... and {count(now.workers_total - MOST_WORKERS)} more workers", style="dim"))
    else:
        blocks.append(Text("no worker is alive: start one with python -m worker", style="bold red"))
    blocks.append(Text(""))
    blocks.append(grid(LANE_COLUMNS, map(_lane_row, now.next_lanes)) if now.next_lanes else Text("no lane waits"))
    return Group(*blocks)


def _summary(now: Overview, earlier: Overview | None) -> Iterator[str]:
    yield f"{when(now.at_ms)}   {count(now.lanes)} lanes, {count(now.in_hand)} changes in hand"
    yield f"interactive  {_load(now.interactive)}"
    yield f"bulk         {_load(now.bulk)}"
    yield f"ended        {count(now.ended)}: {outcome_counts(now.outcomes)}"
    if earlier is not None:
        rates = {name: rate for name, rate in rates_per_s(earlier, now).items() if rate > 0}
        shown = ", ".join(f"{rate:.1f}/s {name}" for name, rate in rates.items())
        yield f"rate         {sum(rates.values()):.1f}/s{': ' if shown else ''}{shown}"
    if any(now.dead.values()):
        yield f"dead letters {outcome_counts(now.dead)}"
    if now.refused:
        yield f"refused      {count(now.refused)} users are stopped: the exchange refused their keys"
    if now.unreadable:
        yield f"unreadable   {count(now.unreadable)} things in Redis that no worker could read"
    yield f"batches      {count(now.batches)}, users with a limit of their own {count(now.overrides)}"


def _load(load: ScheduleLoad) -> str:
    waits = f", the first for {duration(load.oldest_due_s)}" if load.due else ""
    return f"{count(load.lanes)} lanes, {count(load.due)} due{waits}"


def _pauses(now: Overview) -> Iterator[str]:
    for pause in now.pauses[:MOST_PAUSES]:
        yield safe(f"paused       {pause.kind} {pause.name} since {when(pause.since_ms)}")
    if now.pauses_total > MOST_PAUSES:
        yield f"             and {count(now.pauses_total - MOST_PAUSES)} more: copytrade paused"


def _egress_row(egress: EgressStatus) -> tuple[str, ...]:
    return (
        egress.name,
        count(egress.workers),
        NOTHING if egress.rate_per_s is None else f"{egress.rate_per_s:g}/s",
        duration(egress.backlog_s),
        _egress_state(egress),
        NOTHING if egress.floor_ms is None else f"{egress.floor_ms:.0f} ms",
    )


def _egress_state(egress: EgressStatus) -> str:
    if egress.paused:
        return "paused"
    if egress.trouble is not None:
        return safe(f"{egress.trouble}, next probe in {duration(egress.probe_in_s)}")
    return f"held {duration(egress.hold_s)}" if egress.hold_s > 0 else "ok"


def _worker_row(worker: WorkerInfo, now: Overview) -> tuple[str, ...]:
    return (
        worker.name,
        worker.egress,
        f"{count(worker.in_hand)}/{count(worker.max_jobs)}",
        count(worker.ended),
        count(worker.put_back),
        f"{duration(max(0, now.at_ms - worker.beat_at_ms) / 1000)} ago",
        worker.version,
    )


def _lane_row(lane: NextLane) -> tuple[str, ...]:
    return (
        lane.user_id,
        lane.trader_id,
        lane.priority.value,
        count(lane.queued),
        _lane_state(lane),
        NOTHING if lane.in_flight else duration(max(0.0, lane.due_in_s)),
        NOTHING if lane.rate_per_s is None else f"{lane.rate_per_s:g}/s",
    )


def _lane_state(lane: NextLane) -> str:
    if lane.paused:
        return "paused"
    if lane.in_flight:
        return "in flight"
    if lane.hold_s > 0:
        return f"held {duration(lane.hold_s)}"
    return "due" if lane.due_in_s <= 0 else "waits"
