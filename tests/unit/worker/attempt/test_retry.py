"""The retry decision after an attempt."""

from __future__ import annotations

from typing import Any

import pytest

from producers.contract.messages import Outcome
from worker.attempt.retry import (
    AMBIGUOUS,
    FAILED_TRIES,
    Decision,
    Done,
    Hold,
    Retry,
    next_step,
    verdict_of,
    verdict_of_reply,
)
from worker.errors import TransportError
from worker.exchange.replies import ReplyClass

LONG_S = 1e9
DRAWS = 200


def decided(
    *verdicts: str, tries: int | None = None, remaining_s: float = LONG_S, max_tries: int = 0, **changed: Any
) -> Decision:
    """Return the decision after these verdicts, each of which counts as a try by default."""
    tries = len(verdicts) if tries is None else tries
    return next_step(verdicts, tries=tries, remaining_s=remaining_s, max_tries=max_tries, **changed)


def retry_range(*verdicts: str, tries: int | None = None) -> tuple[float, float]:
    """Return the shortest and longest back-off of many draws."""
    decisions = [decided(*verdicts, tries=tries) for _ in range(DRAWS)]
    waits = [decision.after_s for decision in decisions if isinstance(decision, Retry)]
    assert len(waits) == DRAWS
    return min(waits), max(waits)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (ReplyClass.SUCCESS, Outcome.APPLIED),
        (ReplyClass.PERMANENT, Outcome.REJECTED),
        (ReplyClass.CREDENTIALS, Outcome.UNAUTHORIZED),
    ],
)
def test_a_verdict_on_the_change_ends_it_at_any_try_and_time(verdict: ReplyClass, outcome: Outcome) -> None:
    """It is final even after the deadline and after other verdicts."""
    assert decided(verdict) == Done(outcome)
    assert decided("transient", "throttled", verdict, remaining_s=-1.0) == Done(outcome)


@pytest.mark.parametrize("verdict", ["transient", AMBIGUOUS, "failed"])
@pytest.mark.parametrize(
    ("tries", "low_s", "high_s"),
    [(1, 0.1, 0.2), (2, 0.2, 0.4), (3, 0.4, 0.8), (9, 25.6, 51.2), (10, 30, 60), (50, 30, 60), (100_000, 30, 60)],
)
def test_the_back_off_doubles_up_to_a_minute_and_half_of_it_is_random(
    verdict: str, tries: int, low_s: float, high_s: float
) -> None:
    """It starts at 0.2 s, and 100,000 tries do not overflow it."""
    shortest, longest = retry_range(verdict, tries=tries)

    assert low_s <= shortest < low_s * 1.1
    assert high_s * 0.9 < longest <= high_s


def test_a_back_off_beyond_the_deadline_ends_the_change() -> None:
    """At try 10 it is 30 to 60 s, so 29 s are too few and 61 s are enough."""
    assert decided("transient", tries=10, remaining_s=29.0) == Done(Outcome.EXHAUSTED)
    assert isinstance(decided("transient", tries=10, remaining_s=61.0), Retry)


def test_after_the_deadline_there_is_no_other_try() -> None:
    """Not even one without a pause, as after a clock skew."""
    assert decided("clock_skew", remaining_s=0.0) == Done(Outcome.EXHAUSTED)
    assert decided(AMBIGUOUS, remaining_s=-5.0) == Done(Outcome.EXHAUSTED)


def test_tries_can_be_bounded() -> None:
    """With a bound of three, another try follows the second but not the third."""
    assert isinstance(decided("transient", tries=2, max_tries=3), Retry)
    assert decided("transient", tries=3, max_tries=3) == Done(Outcome.EXHAUSTED)


def test_tries_are_not_bounded_by_default() -> None:
    """Only the deadline ends them."""
    assert isinstance(decided("transient", tries=1_000_000), Retry)


def test_a_change_that_fails_again_and_again_is_rejected() -> None:
    """Transient attempts in between do not count towards that."""
    before = ["failed", "transient"] * (FAILED_TRIES - 1)

    assert isinstance(decided(*before), Retry)
    assert decided(*before, "failed") == Done(Outcome.REJECTED)


def test_the_first_clock_skew_is_tried_again_at_once() -> None:
    """The reply contains the exchange's time, so the next timestamp is right."""
    assert decided("clock_skew") == Retry(0.0)
    assert decided("transient", "clock_skew") == Retry(0.0)


def test_a_second_clock_skew_backs_off() -> None:
    """The corrected timestamp did not help, so the usual pause applies."""
    shortest, _ = retry_range("clock_skew", "clock_skew")

    assert shortest >= 0.2


@pytest.mark.parametrize(
    ("throttles", "low_s", "high_s"), [(1, 1, 1.25), (2, 2, 2.5), (3, 4, 5), (5, 16, 20), (6, 24, 30), (20, 24, 30)]
)
def test_throttling_holds_the_user_longer_each_time(throttles: int, low_s: float, high_s: float) -> None:
    """From one window up to half a minute."""
    decisions = [decided(*["throttled"] * throttles, tries=0) for _ in range(DRAWS)]
    holds = [decision.after_s for decision in decisions if isinstance(decision, Hold)]

    assert len(holds) == DRAWS
    assert low_s <= min(holds) < low_s * 1.1
    assert high_s * 0.9 < max(holds) <= high_s


@pytest.mark.parametrize(("asked_s", "throttles", "low_s", "high_s"), [(20, 1, 20, 20), (0, 1, 1, 1.25), (2, 3, 4, 5)])
def test_a_throttled_user_waits_as_long_as_the_exchange_asks(
    asked_s: float, throttles: int, low_s: float, high_s: float
) -> None:
    """A ban of 20 s is met once; what is shorter than our own hold does not shorten it."""
    decision = decided(*["throttled"] * throttles, tries=0, retry_after_s=asked_s)

    assert isinstance(decision, Hold)
    assert low_s <= decision.after_s <= high_s


def test_a_failed_change_waits_as_long_as_the_exchange_asks() -> None:
    """As with a 503 and a Retry-After. One whose deadline is sooner ends; a shorter wait does not shorten ours."""
    assert decided("transient", retry_after_s=20, remaining_s=60) == Retry(20)
    assert decided("transient", retry_after_s=20, remaining_s=15) == Done(Outcome.EXHAUSTED)
    assert decided("transient", retry_after_s=0.01) != Retry(0.01)


def test_only_throttlings_in_a_row_make_a_hold_longer() -> None:
    """Any other reply shows that the user was admitted, and the count starts anew."""
    decision = decided("throttled", "throttled", "transient", "throttled", tries=1)

    assert isinstance(decision, Hold)
    assert decision.after_s <= 1.25


def test_a_throttled_change_is_held_even_at_its_last_try_or_deadline() -> None:
    """A 429 is no verdict on the change, so it cannot end it."""
    assert isinstance(decided("throttled", tries=9, max_tries=1, remaining_s=-1.0), Hold)


def test_an_unsent_request_is_transient_and_one_that_may_have_arrived_is_ambiguous() -> None:
    """A connection may be refused before, or reset after, the request was written."""
    assert verdict_of(TransportError("refused", sent=False)) == "transient"
    assert verdict_of(TransportError("reset", sent=True)) == "ambiguous"


@pytest.mark.parametrize("reply_class", ReplyClass)
def test_a_stale_reply_can_delay_a_change_but_not_end_it(reply_class: ReplyClass) -> None:
    """It is the reply to another request."""
    verdict = verdict_of_reply(reply_class, is_stale=True)

    assert verdict in (AMBIGUOUS, "transient", "throttled", "clock_skew")
    assert verdict in (AMBIGUOUS, reply_class)
    assert verdict_of_reply(reply_class, is_stale=False) == reply_class
