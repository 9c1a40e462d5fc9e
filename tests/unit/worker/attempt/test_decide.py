"""Decisions about single changes: from what happened to what is settled."""

from __future__ import annotations

from typing import Any

import pytest

from producers import Attempt, JobResult, Outcome
from producers.contract import attempt_history
from producers.contract.attempt_history import AttemptHistory
from tests.support.changes import attempt, change
from tests.support.claims import ACCEPTED_MS, TTL_MS, claim
from worker.attempt.decide import (
    MAX_LOST_DELIVERIES,
    ReadyAttempt,
    blocked_by_rejected_keys,
    decide,
    finish_unsent,
    release_unsent,
    validate_claim,
)
from worker.queue.claims import Finish, Requeue, SentRequest, Settlement, Stored

NOW_MS = ACCEPTED_MS + 1_000


def attemptable(state: AttemptHistory | None = None) -> ReadyAttempt:
    ready = validate_claim(claim(history=None if state is None else attempt_history.encode(state)), NOW_MS)
    assert isinstance(ready, ReadyAttempt)
    return ready


def ended(settlement: ReadyAttempt | Settlement) -> JobResult:
    assert isinstance(settlement, Finish)
    return settlement.results[0]


def sent(verdict: str, **changed: Any) -> SentRequest:
    return SentRequest(Attempt(at_ms=NOW_MS, took_ms=20, verdict=verdict, **changed), ended_s=2.0, round_trip_s=0.02)


def test_a_valid_change_may_be_sent_until_its_deadline() -> None:
    """The validated claim has the change, its tries so far and the deadline."""
    ready = attemptable(AttemptHistory(tries=3))

    assert (ready.head.stored.a[0], ready.history.tries, ready.head.deadline_ms) == (change(), 3, ACCEPTED_MS + TTL_MS)


@pytest.mark.parametrize(
    ("changed", "now_ms", "outcome", "message"),
    [
        ({"stored": Stored(None)}, NOW_MS, Outcome.REJECTED, "not sent: its payload is absent"),
        ({"stored": Stored(b"\xc1")}, NOW_MS, Outcome.REJECTED, "not sent: the payload is not a stored change"),
        ({"lane": "1002:t1"}, NOW_MS, Outcome.REJECTED, "not sent: the change belongs to another lane"),
        ({"lost_deliveries": MAX_LOST_DELIVERIES}, NOW_MS, Outcome.EXHAUSTED, "poison: 5 workers in a row"),
        ({"is_cancelled": True}, NOW_MS, Outcome.CANCELLED, "its batch was cancelled"),
        ({}, ACCEPTED_MS + TTL_MS, Outcome.EXPIRED, "its deadline passed before it was sent"),
        (
            {"history": attempt_history.encode(AttemptHistory(tries=1, first_sent_at_ms=5))},
            ACCEPTED_MS + TTL_MS,
            Outcome.EXHAUSTED,
            "its deadline passed without a verdict",
        ),
    ],
    ids=["absent", "unreadable", "another lane", "poison", "cancelled", "expired", "exhausted"],
)
def test_a_change_that_must_not_be_sent_ends_with_the_reason(
    changed: dict[str, Any], now_ms: int, outcome: Outcome, message: str
) -> None:
    """Its slot is unused."""
    settlement = validate_claim(claim(**changed), now_ms)

    result = ended(settlement)
    assert (result.outcome, result.job_id, result.finished_at_ms) == (outcome, "j1", now_ms)
    assert result.message.startswith(message)
    assert isinstance(settlement, Finish)
    assert settlement.request is None


@pytest.mark.parametrize(
    ("changed", "now_ms"),
    [({"lost_deliveries": MAX_LOST_DELIVERIES - 1}, NOW_MS), ({}, ACCEPTED_MS + TTL_MS - 1)],
    ids=["lost_deliveries", "deadline"],
)
def test_a_change_just_within_its_bounds_may_be_sent(changed: dict[str, Any], now_ms: int) -> None:
    """One lost delivery below the limit, or one millisecond before the deadline."""
    assert isinstance(validate_claim(claim(**changed), now_ms), ReadyAttempt)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [("success", Outcome.APPLIED), ("permanent", Outcome.REJECTED), ("credentials", Outcome.UNAUTHORIZED)],
)
def test_a_final_verdict_writes_a_result_with_code_message_and_attempts(verdict: str, outcome: Outcome) -> None:
    """Earlier attempts are included, and the first of them is the start."""
    before = AttemptHistory().with_attempt(attempt("transient", at_ms=7))

    settlement = decide(attemptable(before), sent(verdict, code="c", message="m"), now_ms=NOW_MS, max_tries=0)

    result = ended(settlement)
    assert (result.outcome, result.code, result.message) == (outcome, "c", "m")
    assert [each.verdict for each in result.attempts] == ["transient", verdict]
    assert (result.tries, result.started_at_ms, result.enqueued_at_ms) == (2, 7, ACCEPTED_MS)
    assert settlement.request is not None
    assert (settlement.request.ended_s, settlement.request.round_trip_s) == (2.0, 0.02)


@pytest.mark.parametrize("verdict", ["transient", "ambiguous", "failed", "clock_skew"])
def test_a_verdict_that_is_worth_another_try_puts_the_lane_back(verdict: str) -> None:
    """The history has one more try; the user is not held."""
    settlement = decide(attemptable(), sent(verdict), now_ms=NOW_MS, max_tries=0)

    assert isinstance(settlement, Requeue)
    assert settlement.hold_s == 0
    assert settlement.delay_s < 1
    state = attempt_history.decode(settlement.history)
    assert (state.tries, [each.verdict for each in state.attempts]) == (1, [verdict])


def test_a_429_holds_the_user_and_does_not_count_as_a_try() -> None:
    """It does not end a change with a bound of one try; the hold lasts at least a second."""
    settlement = decide(attemptable(), sent("throttled"), now_ms=NOW_MS, max_tries=1)

    assert isinstance(settlement, Requeue)
    assert settlement.hold_s == settlement.delay_s >= 1
    assert attempt_history.decode(settlement.history).tries == 0


@pytest.mark.parametrize(
    ("now_ms", "max_tries", "outcome"),
    [
        (ACCEPTED_MS + TTL_MS - 50, 0, Outcome.EXHAUSTED),
        (NOW_MS, 1, Outcome.EXHAUSTED),
        (NOW_MS, 2, None),
        (NOW_MS, 0, None),
    ],
    ids=["no time left", "last try", "one try left", "no bound"],
)
def test_a_change_without_time_or_tries_left_ends_exhausted(
    now_ms: int, max_tries: int, outcome: Outcome | None
) -> None:
    """There is no time left if the back-off would outlast the deadline."""
    settlement = decide(attemptable(), sent("transient"), now_ms=now_ms, max_tries=max_tries)

    assert (settlement.results[0].outcome if isinstance(settlement, Finish) else None) == outcome


def test_an_unsent_claim_keeps_its_history() -> None:
    """It is due again at once, and no request is counted."""
    state = attempt_history.encode(AttemptHistory(tries=2))
    settlement = release_unsent(claim(history=state))

    assert (settlement.history, settlement.delay_s, settlement.request) == (state, 0, None)
    assert attempt_history.decode(release_unsent(claim()).history) == AttemptHistory(head="j1")


@pytest.mark.parametrize(
    ("changed", "begins"),
    [
        ({"is_cancelled": True}, "its batch was cancelled"),
        ({"stored": Stored(None)}, "not sent: its payload is absent"),
    ],
)
def test_an_end_without_a_request_says_if_a_worker_died_while_sending_the_change(
    changed: dict[str, Any], begins: str
) -> None:
    """Its request is in no history, and the exchange may have applied it."""
    result = ended(validate_claim(claim(lost_deliveries=1, **changed), NOW_MS))

    assert result.message.startswith(begins)
    assert result.message.endswith("; but a worker died while sending this change, which may have been applied")


def test_a_change_that_is_blocked_by_rejected_keys_says_if_a_worker_died_while_sending_it() -> None:
    """As any other end without a request."""
    ready = validate_claim(claim(lost_deliveries=1, rejected_keys_mark="keys 40037 1"), NOW_MS)
    assert isinstance(ready, ReadyAttempt)
    blocked = blocked_by_rejected_keys(ready, "keys", NOW_MS)

    assert blocked is not None
    assert ended(blocked).message.endswith("a worker died while sending this change, which may have been applied")


def test_an_end_without_a_request_keeps_the_last_code() -> None:
    """The last answer of the exchange is the best clue to the cause."""
    ready = attemptable(AttemptHistory(attempts=[attempt("transient", code="40725")], tries=1, first_sent_at_ms=1))

    assert ended(finish_unsent(ready, Outcome.EXHAUSTED, "m", NOW_MS)).code == "40725"
