"""Reading an overview of the queue: one script, bounded whatever the size of the queue. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from producers.contract import keyspace
from producers.contract.messages import THROTTLED, Outcome, Priority
from producers.contract.stored_values import number, read_each
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad
from producers.monitor.worker_info import WorkerInfo, decode_worker_info
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.parts import LANES, SESSION
from producers.queue.pauses import read_pause
from producers.transport.plan import RunScript
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

MAX_LANES = 20
MAX_WORKERS = 200
MAX_EGRESSES = 200
MAX_PAUSES = 100

UNREADABLE = "unreadable"
"""The field of COUNTS in which claim.lua counts malformed entries; the other fields are outcomes."""


class OverviewRequest(Message):
    """What overview.lua is given: the outcomes of dead letters."""

    dead_outcomes: list[str]


OVERVIEW = Script.load(
    "producers.monitor",
    "overview.lua",
    parts=[*LANES, SESSION],
    request=OverviewRequest,
    constants={
        "THROTTLED": THROTTLED,
        "MAX_LANES": MAX_LANES,
        "MAX_WORKERS": MAX_WORKERS,
        "MAX_EGRESSES": MAX_EGRESSES,
        "MAX_PAUSES": MAX_PAUSES,
    },
)

_US_PER_S, _US_PER_MS, _MS_PER_S = 1_000_000, 1000, 1000


def read_overview() -> RunScript[Overview]:
    """Return the step that reads the state of the queue at one moment."""
    return RunScript(OVERVIEW, [encode(OverviewRequest([*DEAD_OUTCOMES]))], _parse_overview, idempotent=True)


def _parse_overview(reply: Sequence[Any]) -> Overview:
    now_us, interactive, bulk, counts, dead, pauses_total, pauses, overrides, rejected, batches, *rest = reply
    announcements, egresses, next_lanes, in_flight, paused_lanes = rest
    finished_counts = read_each(_pairs(counts), lambda pair: (pair[0].decode(), int(pair[1])))
    finished = dict(finished_counts)
    found_pauses = read_each(_pairs(pauses), read_pause)
    workers = read_each(announcements, decode_worker_info)
    workers.sort(key=lambda worker: (worker.egress, worker.name))
    found_egresses = read_each(egresses, lambda row: _egress(row, workers, now_us))
    lanes_due = read_each(next_lanes, lambda row: _next_lane(row, now_us))
    return Overview(
        at_ms=now_us // _US_PER_MS,
        interactive=_schedule_load(interactive, now_us),
        bulk=_schedule_load(bulk, now_us),
        in_flight=in_flight,
        paused_lanes=paused_lanes,
        outcomes={outcome.value: finished.get(outcome, 0) for outcome in Outcome},
        unreadable=finished.get(UNREADABLE, 0),
        dead=dict(zip(DEAD_OUTCOMES, dead, strict=True)),
        # a set, since the script may list the pause of everything twice
        pauses=sorted(set(found_pauses), key=lambda pause: (pause.since_ms, pause.kind, pause.name)),
        pauses_total=pauses_total,
        overrides=overrides,
        refused=rejected,
        batches=batches,
        workers=workers,
        egresses=sorted(filter(None, found_egresses), key=lambda egress: egress.name),
        next_lanes=lanes_due,
        malformed=sum(found.malformed for found in (finished_counts, found_pauses, workers, found_egresses, lanes_due)),
    )


def _schedule_load(row: Sequence[Any], now_us: int) -> ScheduleLoad:
    users, due, earliest_ms = row
    waited_s = (now_us / _US_PER_MS - (number(earliest_ms) or 0)) / _MS_PER_S
    return ScheduleLoad(users=users, due=due, oldest_due_s=max(0.0, waited_s) if due else 0.0)


def _egress(row: Sequence[Any], workers: list[WorkerInfo], now_us: int) -> EgressStatus | None:
    """Return an egress that has workers, pinned users, a bucket or a pause; None if it has expired but for its name."""
    escaped_name, tat, hold_until, open_reason, probe_at, min_rtt, min_rtt_before, paused_since, *pinned = row
    pinned_users, pinned_due, taken = pinned
    name = keyspace.unescape(escaped_name.decode())
    rates_per_s = [worker.egress_rate_per_s for worker in workers if worker.egress == name]
    if not rates_per_s and not pinned_users and (tat, hold_until, paused_since) == (None, None, None):
        return None
    min_rtts_us = [rtt for rtt in (number(min_rtt), number(min_rtt_before)) if rtt is not None]
    return EgressStatus(
        name=name,
        workers=len(rates_per_s),
        rate_per_s=max(rates_per_s, default=None),
        backlog_s=_seconds_until(tat, now_us),
        hold_s=_seconds_until(hold_until, now_us),
        trouble=None if open_reason is None else open_reason.decode(),
        probe_in_s=_seconds_until(probe_at, now_us),
        floor_ms=min(min_rtts_us) / _US_PER_MS if min_rtts_us else None,
        paused=paused_since is not None,
        pinned_users=pinned_users,
        pinned_due=min(pinned_due, pinned_users),
        requests=int(number(taken) or 0),
    )


def _next_lane(row: Sequence[Any], now_us: int) -> NextLane:
    lane, score_ms, is_bulk, queued, hold_us, rate, user_paused_since, trader_paused_since = row
    user_id, trader_id = keyspace.user_and_trader(lane.decode())
    return NextLane(
        user_id=user_id,
        trader_id=trader_id,
        priority=Priority.BULK if is_bulk else Priority.INTERACTIVE,
        queued=queued,
        due_in_s=(float(score_ms) * _US_PER_MS - now_us) / _US_PER_S,
        hold_s=max(0.0, (hold_us - now_us) / _US_PER_S),
        rate_per_s=number(rate),
        paused=user_paused_since is not None or trader_paused_since is not None,
    )


def _seconds_until(at_us: bytes | None, now_us: int) -> float:
    return max(0.0, ((number(at_us) or 0) - now_us) / _US_PER_S)


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
