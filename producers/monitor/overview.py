"""Watching the queue: how an overview is asked for, in one bounded read whatever the size of the queue. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any

from producers.contract import keyspace
from producers.contract.messages import Outcome, Priority
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad
from producers.monitor.worker_info import WorkerInfo, decode_worker_info
from producers.queue.pauses import Pause
from producers.transport.plan import Plan, RunScript
from producers.transport.scripts import Argument, Script

OVERVIEW = Script.load("producers.monitor", "overview.lua")
OVERVIEW_KEYS = [
    keyspace.SCHEDULE,
    keyspace.BULK_SCHEDULE,
    keyspace.LANES,
    keyspace.COUNTS,
    keyspace.PAUSED,
    keyspace.RATES,
    keyspace.BATCHES,
    keyspace.WORKERS,
    keyspace.EGRESSES,
    keyspace.REFUSED,
]

MAX_LANES = 20
MAX_WORKERS = 200
MAX_PAUSES = 100

UNREADABLE = "unreadable"
"""What the claim script counts beside the outcomes."""

DEAD_OUTCOMES = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED)

_PRIORITIES = {0: Priority.INTERACTIVE, 1: Priority.BULK}
_US_PER_S, _US_PER_MS, _MS_PER_S = 1_000_000, 1000, 1000


def read_overview() -> Plan[Overview]:
    """The queue as it is now."""
    args: list[Argument] = [
        keyspace.LANE,
        keyspace.HEAD,
        keyspace.BUCKET,
        keyspace.ENDPOINT,
        keyspace.WORKER,
        keyspace.EGRESS,
    ]
    args += [MAX_LANES, MAX_WORKERS, MAX_PAUSES]
    args += [keyspace.DEAD + outcome for outcome in DEAD_OUTCOMES]
    return _read((yield RunScript(OVERVIEW, OVERVIEW_KEYS, args, idempotent=True)))


def _read(reply: Sequence[Any]) -> Overview:
    now_us, interactive, bulk, lanes, counts, dead, pauses_total, pauses, overrides, refused, batches, *rest = reply
    workers_total, announcements, exits, next_lanes = rest
    ended = {name.decode(errors="replace"): int(_number(count)) for name, count in _pairs(counts)}
    announced = (decode_worker_info(payload) for payload in announcements)
    workers = sorted(filter(None, announced), key=lambda worker: (worker.egress, worker.name))
    return Overview(
        at_ms=now_us // _US_PER_MS,
        interactive=_load(interactive, now_us),
        bulk=_load(bulk, now_us),
        lanes=lanes,
        outcomes={outcome.value: ended.get(outcome, 0) for outcome in Outcome},
        unreadable=ended.get(UNREADABLE, 0),
        dead=dict(zip(DEAD_OUTCOMES, dead, strict=True)),
        pauses=sorted(set(starmap(_pause, _pairs(pauses))), key=lambda pause: (pause.since_ms, pause.kind, pause.name)),
        pauses_total=pauses_total,
        overrides=overrides,
        refused=refused,
        batches=batches,
        workers=workers,
        workers_total=workers_total,
        egresses=sorted(_egresses(exits, workers, now_us), key=lambda egress: egress.name),
        next_lanes=[_lane(row, now_us) for row in next_lanes],
    )


def _load(row: Sequence[Any], now_us: int) -> ScheduleLoad:
    lanes, due, earliest_ms = row
    waited_s = (now_us / _US_PER_MS - _number(earliest_ms)) / _MS_PER_S
    return ScheduleLoad(lanes=lanes, due=due, oldest_due_s=max(0.0, waited_s) if due else 0.0)


def _pause(scope: bytes, since_ms: bytes) -> Pause:
    kind, _, name = scope.decode(errors="replace").partition(":")
    return Pause(kind, keyspace.unescape(name), int(_number(since_ms)))  # type: ignore[arg-type]  # as it was written


def _egresses(rows: Sequence[Sequence[Any]], workers: list[WorkerInfo], now_us: int) -> Iterator[EgressStatus]:
    """Those that have workers, a bucket or a pause; the names of all others are only remembered."""
    behind = Counter(worker.egress for worker in workers)
    for escaped, tat, hold, why, probe_at, *floors, paused_since in rows:
        name = keyspace.unescape(escaped.decode(errors="backslashreplace"))
        seen_us = [_number(floor) for floor in floors if floor is not None]
        if behind[name] or tat is not None or hold is not None or paused_since is not None:
            yield EgressStatus(
                name=name,
                workers=behind[name],
                rate_per_s=max((one.egress_rate_per_s for one in workers if one.egress == name), default=None),
                backlog_s=_ahead_s(tat, now_us),
                hold_s=_ahead_s(hold, now_us),
                trouble=None if why is None else why.decode(errors="replace"),
                probe_in_s=_ahead_s(probe_at, now_us),
                floor_ms=min(seen_us) / _US_PER_MS if seen_us else None,
                paused=paused_since is not None,
            )


def _lane(row: Sequence[Any], now_us: int) -> NextLane:
    lane, score_ms, is_bulk, queued, token, hold, rate, user_paused, trader_paused = row
    user, trader = keyspace.parties(lane.decode(errors="backslashreplace"))
    due_in_s = (_number(score_ms) * _US_PER_MS - now_us) / _US_PER_S
    return NextLane(
        user_id=user,
        trader_id=trader,
        priority=_PRIORITIES[is_bulk],
        queued=queued,
        due_in_s=due_in_s,
        in_flight=token is not None and due_in_s > 0,  # a score of the past is a lease that ended
        hold_s=_ahead_s(hold, now_us),
        rate_per_s=_number(rate) if rate is not None else None,
        paused=user_paused is not None or trader_paused is not None,
    )


def _ahead_s(at_us: bytes | None, now_us: int) -> float:
    return max(0.0, (_number(at_us) - now_us) / _US_PER_S)


def _number(stored: bytes | None) -> float:
    try:
        number = float(stored or 0)
    except ValueError:
        return 0.0  # written by something else; a watcher shows the rest all the same
    return number if math.isfinite(number) else 0.0


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
