"""Why a change waits, decided from what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from producers import Attempt
from producers.contract.attempt_history import AttemptHistory
from producers.contract.waits import WaitReason
from producers.queue.bucket import StoredBucket, next_slot_us
from producers.queue.lanes import LaneScore
from producers.queue.waits import CREDENTIALS, EgressFacts, WaitFacts, why

NOW_US = 1_790_000_000_000_000
NOW_MS = NOW_US // 1000
S, MS = 1_000_000, 1000

EGRESS = EgressFacts("default", tat=NOW_US, pace=10_000, user_pace=100_000)
DUE = WaitFacts(
    now_us=NOW_US,
    user="1001",
    trader="t1",
    position=0,
    score_ms=NOW_MS,
    bucket=StoredBucket(0, per_window=10, pace=100_000),
    egresses=(EGRESS,),
)
LATER = replace(DUE, score_ms=NOW_MS + 500)
FAILED = AttemptHistory(head="j1", attempts=[Attempt(at_ms=NOW_MS - 20, took_ms=10, verdict="transient", code="40015")])
LATE = StoredBucket(0, late=["t1", NOW_US + S])


@pytest.mark.parametrize(
    ("facts", "reason", "message", "expected_ms"),
    [
        (DUE, WaitReason.DUE, "it is due; a worker takes it next", 0),
        (replace(DUE, paused_ms={"everything": 5}), WaitReason.EVERYTHING_PAUSED, "everything is paused", None),
        (replace(DUE, paused_ms={"user": 5, "trader": 6}), WaitReason.TRADER_PAUSED, "trader t1 is paused", None),
        (replace(DUE, paused_ms={"user": 5}), WaitReason.USER_PAUSED, "user 1001 is paused", None),
        (replace(DUE, egresses=()), WaitReason.NO_WORKER, "no worker is alive", None),
        (
            replace(DUE, egresses=(), pin="b"),
            WaitReason.NO_WORKER,
            "no worker is alive on egress b, to which its user is pinned",
            None,
        ),
        (
            replace(DUE, egresses=(replace(EGRESS, paused_ms=5),)),
            WaitReason.EGRESS_PAUSED,
            "egress default is paused",
            None,
        ),
        (
            replace(DUE, egresses=(replace(EGRESS, paused_ms=5), replace(EGRESS, name="b", paused_ms=5))),
            WaitReason.EGRESS_PAUSED,
            "every egress in use is paused",
            None,
        ),
        (
            replace(DUE, egresses=(replace(EGRESS, trouble="throttled", probe_at=NOW_US + 3 * S),)),
            WaitReason.BREAKER_OPEN,
            "egress default has stopped sending: the exchange throttles it; it sends a probe in 3.0 s",
            None,
        ),
        (
            replace(DUE, egresses=(replace(EGRESS, trouble="refused 40006"),)),
            WaitReason.BREAKER_OPEN,
            "egress default has stopped sending: the exchange rejects the API keys of many users (refused 40006); it",
            None,
        ),
        (replace(DUE, egresses=(replace(EGRESS, trouble="failing"), EGRESS)), WaitReason.DUE, "it is due; a worker", 0),
        (
            replace(LATER, bucket=LATE),
            WaitReason.LOST_REQUEST,
            "an earlier request of its lane, whose fate is not known, may still be applied for 0.5 s",
            500,
        ),
        (
            replace(LATER, bucket=LATE, history=FAILED),
            WaitReason.BACK_OFF,
            "its last attempt failed (40015); it is tried again in 0.5 s",
            500,
        ),
        (LATER, WaitReason.BACK_OFF, "it was put back; it is tried again in 0.5 s", 500),
        (
            replace(LATER, waits_for=CREDENTIALS),
            WaitReason.CREDENTIALS_UNAVAILABLE,
            "its user's API keys cannot be read; they are looked up again in 0.5 s",
            500,
        ),
        (
            replace(DUE, bucket=StoredBucket(0, hold=NOW_US + 2 * S), lanes_before=2),
            WaitReason.HOLD,
            "the exchange has throttled its user; nothing is sent for 2.0 s",
            2200,
        ),
        (
            replace(DUE, bucket=StoredBucket(0, tat=NOW_US + 70 * MS), lanes_before=1),
            WaitReason.USER_SLOT,
            "its user's limit of 10 requests a second; 1 lane of the user goes first",
            170,
        ),
        (
            replace(DUE, bucket=StoredBucket(0, tat=NOW_US + S, slowdown_permille=2000), rate_per_s=2.0),
            WaitReason.USER_SLOT,
            "its user's limit of 2 requests a second, slowed 2 times after it was throttled",
            1000,
        ),
        (
            replace(DUE, bucket=StoredBucket(9, per_window=1, ring=[-NOW_US])),
            WaitReason.USER_SLOT,
            "its user's limit of 10 requests a second",
            100,
        ),
        (replace(DUE, lanes_before=2), WaitReason.USER_TURN, "2 lanes of its user go before it", 200),
        (
            replace(DUE, users_before=30),
            WaitReason.EGRESS_SLOT,
            "the limit of its egress; 30 users of its egress go before its user",
            300,
        ),
        (
            replace(DUE, egresses=(replace(EGRESS, tat=NOW_US + 40 * MS),)),
            WaitReason.EGRESS_SLOT,
            "the limit of its egress",
            40,
        ),
        (
            replace(DUE, position=1, score_ms=LaneScore.IN_FLIGHT),
            WaitReason.LANE_TURN,
            "1 change of its lane goes before it; the first is being sent",
            100,
        ),
        (
            replace(LATER, position=3, history=FAILED),
            WaitReason.LANE_TURN,
            "3 changes of its lane go before it; the first waits: its last attempt failed (40015)",
            800,
        ),
        (
            replace(DUE, position=5, other_lanes=4, other_changes=[6, 6, 6, 2]),
            WaitReason.LANE_TURN,
            "5 changes of its lane go before it, in turns with 4 other lanes of its user; the first waits: it is due",
            100 * (5 + 3 * 5 + 2),
        ),
        (
            replace(DUE, position=2, other_lanes=1000, other_changes=[9, 1]),
            WaitReason.LANE_TURN,
            "2 changes of its lane go before it, in turns with 1,000 other lanes of its user",
            100 * (2 + 1500),
        ),
        (
            replace(DUE, score_ms=LaneScore.PARKED),
            WaitReason.DUE,
            "it is due; a worker takes it next",
            0,
        ),
    ],
)
def test_the_first_reason_that_holds_is_given_with_the_expected_time(
    facts: WaitFacts, reason: WaitReason, message: str, expected_ms: int | None
) -> None:
    """As a code, a sentence and a time."""
    wait = why(facts)

    assert wait.reason is reason
    assert wait.message.startswith(message)
    assert wait.expected_at_ms == (None if expected_ms is None else NOW_MS + expected_ms)


@pytest.mark.parametrize(
    ("bucket", "slot_us"),
    [
        (StoredBucket(0), NOW_US),
        (StoredBucket(0, tat=NOW_US + 5), NOW_US + 5),
        (StoredBucket(9, per_window=2, ring=[NOW_US + 7, NOW_US + 9]), NOW_US + 7),
        (StoredBucket(9, per_window=2, ring=[NOW_US + 7]), NOW_US),
        (StoredBucket(9, per_window=1, ring=[NOW_US + 9, NOW_US + 7]), NOW_US + 9),
        (StoredBucket(9, per_window=1, ring=[-NOW_US, NOW_US + 7]), None),
        (StoredBucket(9, per_window=2, ring=[-NOW_US, NOW_US + 9]), None),
        (StoredBucket(9, per_window=2, ring=[-NOW_US, NOW_US + 9], is_changing=1, hold=NOW_US + 3), NOW_US + 3),
    ],
)
def test_the_next_slot_is_the_latest_of_pace_guard_and_hold(bucket: StoredBucket, slot_us: int | None) -> None:
    """As bucket.lua says; a request in flight at the guard's place leaves it open."""
    assert next_slot_us(bucket, NOW_US) == slot_us
