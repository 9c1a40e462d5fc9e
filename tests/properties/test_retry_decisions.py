"""The retry decision after any history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.contract.messages import Outcome
from worker.attempt.retry import AMBIGUOUS, FAILED_TRIES, Done, Hold, Retry, next_step
from worker.exchange.replies import ReplyClass

LONGEST_BACKOFF_S, SHORTEST_HOLD_S, LONGEST_HOLD_S = 60, 1, 30

ENDS = {
    ReplyClass.SUCCESS.value: {Outcome.APPLIED},
    ReplyClass.PERMANENT.value: {Outcome.REJECTED},
    ReplyClass.CREDENTIALS.value: {Outcome.UNAUTHORIZED},
    ReplyClass.FAILED.value: {Outcome.REJECTED, Outcome.EXHAUSTED},
}

verdicts = st.lists(st.sampled_from([*(each.value for each in ReplyClass), AMBIGUOUS]), min_size=1, max_size=20)


@given(verdicts, st.integers(0, 1_000_000), st.floats(-1e9, 1e9) | st.floats(0, 60), st.integers(0, 50))
def test_any_history_has_a_decision_within_its_bounds(
    history: list[str], throttled_away: int, remaining_s: float, max_tries: int
) -> None:
    """Waits are bounded, no try follows the deadline or the last try, and a throttled attempt is no try."""
    counted = sum(verdict != ReplyClass.THROTTLED for verdict in history)
    tries = max(0, counted + throttled_away)

    decision = next_step(history, tries=tries, remaining_s=remaining_s, max_tries=max_tries)

    match decision:
        case Done(outcome):
            assert outcome in ENDS.get(history[-1], {Outcome.EXHAUSTED})
            if outcome is Outcome.REJECTED and history[-1] == ReplyClass.FAILED:
                assert history.count(ReplyClass.FAILED) >= FAILED_TRIES
            if outcome is Outcome.EXHAUSTED:
                assert (max_tries and tries >= max_tries) or remaining_s < LONGEST_BACKOFF_S
        case Retry(after_s):
            assert 0 <= after_s <= min(LONGEST_BACKOFF_S, remaining_s)
            assert not max_tries or tries < max_tries
        case Hold(after_s):
            assert history[-1] == ReplyClass.THROTTLED
            assert SHORTEST_HOLD_S <= after_s <= LONGEST_HOLD_S
