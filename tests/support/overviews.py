"""An overview of an idle queue with one worker, of which a test changes some fields."""

from __future__ import annotations

from typing import Any

from producers.contract.messages import Outcome
from producers.monitor.overview_types import EgressStatus, Overview, ScheduleLoad
from producers.monitor.worker_info import WorkerInfo

NOW_MS = 1_790_000_000_000


def load(users: int = 0, due: int = 0, oldest_due_s: float = 0.0) -> ScheduleLoad:
    """Return the load of a schedule."""
    return ScheduleLoad(users=users, due=due, oldest_due_s=oldest_due_s)


def worker(**changed: Any) -> WorkerInfo:
    """Return a worker of ten jobs whose heartbeat is new."""
    fields: dict[str, Any] = {
        "name": "a-1-00",
        "host": "a",
        "pid": 1,
        "session": "s1",
        "egress": "north",
        "version": "0.1.0",
        "started_at_ms": NOW_MS - 60_000,
        "beat_at_ms": NOW_MS,
        "interval_s": 10.0,
        "max_jobs": 10,
        "in_flight": 1,
        "ended": 5,
        "requeued": 0,
        "user_rate_per_s": 10.0,
        "egress_rate_per_s": 100.0,
    }
    return WorkerInfo(**fields | changed)


def egress(**changed: Any) -> EgressStatus:
    """Return the egress of that worker, which may send."""
    fields: dict[str, Any] = {
        "name": "north",
        "workers": 1,
        "rate_per_s": 100.0,
        "backlog_s": 0.0,
        "hold_s": 0.0,
        "trouble": None,
        "probe_in_s": 0.0,
        "floor_ms": 40.0,
        "paused": False,
    }
    return EgressStatus(**fields | changed)


def overview(**changed: Any) -> Overview:
    """Return the overview of an idle queue with that worker."""
    fields: dict[str, Any] = {
        "at_ms": NOW_MS,
        "interactive": load(),
        "bulk": load(),
        "in_flight": 0,
        "paused_lanes": 0,
        "outcomes": dict.fromkeys(Outcome, 0),
        "unreadable": 0,
        "dead": {},
        "pauses": [],
        "pauses_total": 0,
        "overrides": 0,
        "refused": 0,
        "batches": 0,
        "workers": [worker()],
        "egresses": [egress()],
        "next_lanes": [],
    }
    return Overview(**fields | changed)
