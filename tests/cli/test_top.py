"""`top`: what it shows of an overview."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from producers import Outcome, Pause, Priority, Producer
from producers.cli.overview_view import MAX_PAUSES, MAX_WORKERS, render_overview
from producers.monitor.overview_types import EgressStatus, NextLane, Overview, ScheduleLoad
from producers.monitor.worker_info import WorkerInfo
from tests.support.changes import change
from tests.support.copytrade import Copytrade

NOW_MS = 1_700_000_000_000


def worker(name: str, **changed: Any) -> WorkerInfo:
    """Return a worker whose heartbeat was two seconds ago."""
    fields: dict[str, Any] = {
        "name": name,
        "host": "h",
        "pid": 1,
        "session": "s1",
        "egress": "default",
        "version": "1.2.3",
        "started_at_ms": NOW_MS - 60_000,
        "beat_at_ms": NOW_MS - 2_000,
        "interval_s": 10.0,
        "max_jobs": 256,
        "in_flight": 3,
        "ended": 1000,
        "requeued": 2,
        "user_rate_per_s": 10.0,
        "egress_rate_per_s": 100.0,
    }
    return WorkerInfo(**(fields | changed))


def lane(user: str, **changed: Any) -> NextLane:
    fields: dict[str, Any] = {
        "user_id": user,
        "trader_id": "t1",
        "priority": Priority.BULK,
        "queued": 4,
        "due_in_s": 1.5,
        "hold_s": 0.0,
        "rate_per_s": None,
        "paused": False,
    }
    return NextLane(**(fields | changed))


def overview(**changed: Any) -> Overview:
    fields: dict[str, Any] = {
        "at_ms": NOW_MS,
        "interactive": ScheduleLoad(users=1, due=0, oldest_due_s=0.0),
        "bulk": ScheduleLoad(users=20, due=7, oldest_due_s=2.5),
        "in_flight": 3,
        "paused_lanes": 0,
        "outcomes": dict.fromkeys(Outcome, 0) | {Outcome.APPLIED: 1200},
        "unreadable": 0,
        "dead": {},
        "pauses": [],
        "pauses_total": 0,
        "overrides": 1,
        "refused": 0,
        "batches": 2,
        "workers": [worker("h-1-a")],
        "egresses": [
            EgressStatus(
                name="default",
                workers=1,
                rate_per_s=100.0,
                backlog_s=0.5,
                hold_s=0.0,
                trouble=None,
                probe_in_s=0.0,
                floor_ms=41.6,
                paused=False,
            )
        ],
        "next_lanes": [lane("1001")],
    }
    return Overview(**(fields | changed))


def seen(what: RenderableType) -> str:
    screen = Console(file=io.StringIO(), width=160)
    screen.print(what)
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_view_shows_users_lanes_egresses_workers_and_totals() -> None:
    """A lane row has its user, trader, priority, length and state."""
    text = seen(render_overview(overview(), None))

    assert "3 lanes" in text
    assert "20 users, 7 due, the first for 2.5 s" in text
    assert "1,200 applied" in text
    for words in ("default 1 100/s 500 ms ok 42 ms", "h-1-a default 3/256 1,000 2 2.0 s ago", "1001 t1 bulk 4 waits"):
        assert words in " ".join(text.split())


def test_the_view_shows_rates_between_two_moments() -> None:
    """The rates are by outcome, with their sum first."""
    earlier = overview(at_ms=NOW_MS - 2000, outcomes=dict.fromkeys(Outcome, 0) | {Outcome.APPLIED: 1000})

    assert "100.0/s: 100.0/s applied" in seen(render_overview(overview(), earlier))


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"paused": True}, "paused"),
        ({"hold_s": 3.0}, "held 3.0 s"),
        ({"due_in_s": -1.0}, "due"),
        ({}, "waits"),
    ],
)
def test_the_view_shows_the_main_reason_why_a_lane_waits(changed: dict[str, Any], state: str) -> None:
    """A lane has exactly one state in the table."""
    assert f"4 {state}" in " ".join(seen(render_overview(overview(next_lanes=[lane("1001", **changed)]), None)).split())


def test_the_view_shows_pauses_holds_dead_letters_and_missing_workers() -> None:
    """A long list of pauses is cut and counted, and control characters are escaped."""
    pauses = [Pause(kind="user", name=f"u\x1b{number}", since_ms=NOW_MS) for number in range(MAX_PAUSES + 3)]
    held = EgressStatus(
        name="default",
        workers=0,
        rate_per_s=None,
        backlog_s=0.0,
        hold_s=250.0,
        trouble=None,
        probe_in_s=0.0,
        floor_ms=None,
        paused=False,
    )
    text = seen(
        render_overview(
            overview(
                workers=[],
                egresses=[held],
                pauses=pauses,
                pauses_total=len(pauses),
                dead={"rejected": 4},
                unreadable=1,
                next_lanes=[],
            ),
            None,
        )
    )

    assert "no worker is alive" in text
    assert "held 4 min 10 s" in text
    assert "4 rejected" in text
    assert "and 3 more: copytrade paused" in text
    assert "unreadable" in text
    assert "\x1b" not in text


def test_the_view_cuts_a_long_list_of_workers() -> None:
    """The others are counted."""
    many = [worker(f"w{number}") for number in range(MAX_WORKERS + 2)]

    assert "and 2 more workers" in seen(render_overview(overview(workers=many), None))


def test_without_a_terminal_top_shows_the_queue_once(copytrade: Copytrade) -> None:
    """A pipe gets cells with tabs between them, without padding; --json gives one document."""

    async def work(producer: Producer) -> None:
        await producer.enqueue(change(), priority=Priority.BULK)

    copytrade.ask(work)

    shown = copytrade("top").stdout

    assert "\nin flight\t0 lanes\n" in shown
    assert "\nbulk\t1 user, 1 due" in shown
    assert "\nno worker is alive: start one with python -m worker\n" in shown
    assert "\nuser\ttrader\tpriority\tqueued\tstate\twait\trate\n1001\tt1\tbulk\t1\t" in shown
    assert "  " not in shown
    (document,) = copytrade.json_lines("top", "--once")
    assert (document["bulk"]["users"], document["nextLanes"][0]["userId"]) == (1, "1001")
