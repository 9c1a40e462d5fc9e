"""The doctor's checks of an overview."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers.monitor.checks import Check, CheckStatus
from producers.monitor.overview_types import rates_per_s
from producers.monitor.queue_checks import LATE_S, check_queue, needs_second_look
from producers.queue.pauses import Pause, ScopeKind
from tests.support.overviews import NOW_MS, egress, load, overview, worker

LATE = load(3, 2, LATE_S + 1)


def found(name: str, **changed: Any) -> Check:
    """Return one check of such an overview with some fields changed."""
    (check,) = [check for check in check_queue(overview(**changed)) if check.name == name]
    return check


def paused(kind: ScopeKind, name: str = "") -> dict[str, Any]:
    return {"pauses": [Pause(kind, name, NOW_MS - 1)], "pauses_total": 1}


NOBODY: dict[str, Any] = {"workers": [], "egresses": []}


def test_an_idle_queue_with_a_worker_passes_every_check() -> None:
    """The checks come in a fixed order."""
    checks = check_queue(overview())

    assert [check.name for check in checks] == [
        "workers",
        "egress north",
        "lanes",
        "pauses",
        "dead letters",
        "keys",
        "unreadable",
    ]
    assert {check.status for check in checks} == {CheckStatus.OK}


def test_no_worker_is_a_failure_only_while_users_are_due() -> None:
    """Without due users it is a warning."""
    assert found("workers", **NOBODY).status is CheckStatus.WARN
    assert found("workers", **NOBODY, interactive=load(1, 0)).status is CheckStatus.WARN
    assert found("workers", **NOBODY, interactive=load(1, 1)).status is CheckStatus.FAIL
    assert found("workers", **NOBODY, bulk=load(9, 9)).detail == "none is alive, and 9 users are due"


def test_a_worker_that_missed_heartbeats_is_named() -> None:
    """Its last heartbeat is just over two intervals old; the healthy worker is not mentioned."""
    silent = worker(name="b-2-00", beat_at_ms=NOW_MS - 20_001)

    check = found("workers", workers=[worker(), silent])

    assert check.status is CheckStatus.WARN
    assert "b-2-00" in check.detail
    assert "a-1-00" not in check.detail


def test_workers_of_different_versions_are_a_warning() -> None:
    """An update may have stopped half-way; the detail lists the versions."""
    check = found("workers", workers=[worker(), worker(version="0.2.0")])

    assert check.status is CheckStatus.WARN
    assert "0.1.0, 0.2.0" in check.detail


@pytest.mark.parametrize("changed", [{"user_rate_per_s": 5.0}, {"egress_rate_per_s": 50.0}])
def test_workers_of_one_egress_with_different_rates_are_a_warning(changed: dict[str, float]) -> None:
    """They share one bucket."""
    check = found("egress north", workers=[worker(), worker(**changed)])

    assert check.status is CheckStatus.WARN
    assert "10/s a user and 100/s in all" in check.detail


def test_workers_of_different_egresses_may_have_different_rates() -> None:
    """Each egress has an IP, and so a limit, of its own."""
    elsewhere = worker(egress="south", egress_rate_per_s=50.0)
    checks = check_queue(overview(workers=[worker(), elsewhere], egresses=[egress(), egress(name="south")]))

    assert {check.status for check in checks} == {CheckStatus.OK}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hold_s": 120.0, "trouble": "throttled"}, "held for 120 s more"),
        ({"trouble": "throttled"}, "breaker is open (throttled)"),
        ({"paused": True}, "paused"),
        ({"name": "south", "workers": 0, "rate_per_s": None}, "no worker is behind it"),
    ],
)
def test_an_egress_that_sends_nothing_is_a_warning_with_a_remedy(changed: dict[str, Any], words: str) -> None:
    """It may be held, paused or without a worker."""
    one = egress(**changed)

    check = found(f"egress {one.name}", egresses=[one])

    assert check.status is CheckStatus.WARN
    assert words in check.detail
    assert check.hint


def test_a_due_user_that_waits_five_seconds_beside_an_idle_worker_is_a_warning() -> None:
    """The worker should have claimed it; exactly five seconds still pass."""
    assert found("lanes", interactive=LATE).status is CheckStatus.WARN
    assert found("lanes", bulk=LATE).status is CheckStatus.WARN
    assert "do not claim" in found("lanes", bulk=LATE).hint
    assert found("lanes", interactive=load(3, 2, LATE_S)).status is CheckStatus.OK


def test_a_due_user_that_waits_for_busy_workers_has_another_remedy() -> None:
    """Every job slot is in use, so the hint is to allow more jobs."""
    check = found("lanes", interactive=LATE, in_flight=10)

    assert check.status is CheckStatus.WARN
    assert "all 10 job slots" in check.detail
    assert "COPYTRADE_MAX_JOBS" in check.hint


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (paused("everything"), "everything is paused"),
        ({"egresses": [egress(paused=True)]}, "every egress is paused, held or failing"),
        ({"egresses": [egress(hold_s=9.0)]}, "every egress is paused, held or failing"),
        ({"egresses": [egress(backlog_s=0.12)]}, "the limit of the egress is used up"),
    ],
)
def test_a_user_that_has_reason_to_wait_is_no_warning(changed: dict[str, Any], reason: str) -> None:
    """Such as the limit of its egress."""
    check = found("lanes", bulk=LATE, **changed)

    assert check.status is CheckStatus.OK
    assert check.detail.endswith(reason)


@pytest.mark.parametrize(("sent", "status"), [(95, CheckStatus.OK), (20, CheckStatus.WARN), (-500, CheckStatus.WARN)])
def test_an_egress_that_sends_at_its_limit_is_a_reason_to_wait_whatever_its_backlog_is_now(
    sent: int, status: CheckStatus
) -> None:
    """Its backlog comes and goes as workers take slots in runs; its rate over a second does not."""
    earlier = overview(bulk=LATE, egresses=[egress(requests=500)])
    now = overview(at_ms=NOW_MS + 1000, bulk=LATE, egresses=[egress(requests=500 + sent)])

    (check,) = [check for check in check_queue(now, earlier) if check.name == "lanes"]

    assert needs_second_look(earlier)
    assert check.status is status


def test_one_look_is_enough_where_it_shows_a_reason_or_nobody_could_send() -> None:
    """The doctor does not wait for a second one."""
    assert not needs_second_look(overview())
    assert not needs_second_look(overview(bulk=LATE, **paused("everything")))
    assert not needs_second_look(overview(bulk=LATE, **NOBODY))


def test_a_hold_of_another_egress_does_not_excuse_a_waiting_user() -> None:
    """One egress with workers and almost no backlog could have sent the change."""
    egresses = [
        egress(backlog_s=0.03),
        egress(name="south", hold_s=100.0),
        egress(name="gone", workers=0, backlog_s=5.0),
    ]

    assert found("lanes", bulk=LATE, egresses=egresses).status is CheckStatus.WARN


def test_users_pinned_to_an_egress_without_a_worker_are_not_said_to_be_left_by_the_others() -> None:
    """The line of that egress fails; if others are due too, the hint names both."""
    one, gone = egress(), egress(name="gone", workers=0, pinned_users=2, pinned_due=2)

    check = found("lanes", interactive=load(3, 2, LATE_S + 1), egresses=[one, gone])
    assert check.status is CheckStatus.OK
    assert check.detail.endswith("all are pinned to gone, without a worker")

    check = found("lanes", interactive=load(3, 3, LATE_S + 1), egresses=[one, gone])
    assert check.status is CheckStatus.WARN
    assert check.hint.startswith("start a worker of gone; if others still wait, look at the workers' logs")


def test_a_pause_is_named_in_a_reminder() -> None:
    """A forgotten pause looks like a fault of the queue, so it is a warning."""
    assert found("pauses").status is CheckStatus.OK
    check = found("pauses", **paused("user", "1001"))

    assert check.status is CheckStatus.WARN
    assert check.detail == "1 in force: user 1001"
    assert check.hint.endswith("copytrade resume --user 1001")
    assert found("pauses", **paused("everything", "")).hint.endswith("copytrade resume --everything")


def test_many_pauses_are_not_all_named() -> None:
    """Five names and the number of the others keep the detail on one line."""
    pauses = [Pause("user", str(n), n) for n in range(8)]

    check = found("pauses", pauses=pauses, pauses_total=800)

    assert check.detail == "800 in force: user 0, user 1, user 2, user 3, user 4 and 795 more"


def test_dead_letters_are_counted_and_pass_the_check() -> None:
    """They are no fault of the queue; outcomes without any are left out."""
    check = found("dead letters", dead={"rejected": 2, "unauthorized": 0, "exhausted": 1})

    assert (check.status, check.detail) == (CheckStatus.OK, "2 rejected, 1 exhausted")


def test_malformed_entries_are_a_warning() -> None:
    """Workers drop what they cannot read, so something else writes to the queue's keys."""
    assert found("unreadable", unreadable=3).status is CheckStatus.WARN
    assert "leaves out 2 entries that cannot be read" in found("unreadable", malformed=2).detail


def test_rates_are_differences_of_counts_and_never_negative() -> None:
    """A count that falls, or overviews in the wrong order, give 0."""
    before = overview(outcomes={"applied": 10, "rejected": 5})
    after = overview(at_ms=NOW_MS + 2_000, outcomes={"applied": 30, "rejected": 4, "expired": 1})

    assert rates_per_s(before, after) == {"applied": 10.0, "rejected": 0.0, "expired": 0.5}
    assert set(rates_per_s(before, before).values()) == {0.0}
    assert rates_per_s(after, before) == {"applied": 0.0, "rejected": 0.0}


def test_an_overview_is_plain_json() -> None:
    """Scripts read it under the names of the wire, such as `inFlight`."""
    told = msgspec.json.decode(msgspec.json.encode(overview()))

    assert told["inFlight"] == 0
    assert told["workers"][0]["userRatePerS"] == 10.0
