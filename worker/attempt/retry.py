"""What becomes of a change after an attempt. No I/O, no clock; tenacity's strategies say how long and how often.

    verdict                 decision
    success                 Done(APPLIED)
    permanent               Done(REJECTED)
    credentials             Done(UNAUTHORIZED); Retry at once, three times at most, if the keys were replaced meanwhile
    transient, ambiguous    Retry after a back-off; Done(EXHAUSTED) if that would end after the deadline or the last try
    clock_skew              the first one: Retry at once, with a fresh timestamp; later ones as transient
    failed                  as transient, but the fifth one: Done(REJECTED)
    throttled               Hold: the user waits, and the attempt was no try

Back-off before try n + 1 (n = 1, 2, ...), seconds, half of it fixed and half drawn ("equal jitter"):

    n          1          2          3          4          5       ...  9          10 and on
    wait   0.1..0.2   0.2..0.4   0.4..0.8   0.8..1.6   1.6..3.2    ...  25.6..51.2   30..60

n counts requests, those of an outage included. A probe of an open breaker waits as if it were the first, since the
breaker's own pauses are enough. So a deadline of an hour sees close to 90 tries. The exchange releases for hours, with
40015, 40725 and 45001 meanwhile (Bitget API documentation, FAQ, question 14, read December 2025): patience belongs to
the deadline, not to a number.

Hold after the n-th throttling in a row, seconds, four fifths of it fixed:

    n          1          2          3          4          5          6 and on
    wait   1..1.25    2..2.5     4..5       8..10      16..20      24..30

Never below 1 s, the window of the user's limit. tenacity draws from the global `random`, and takes no other source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tenacity import RetryCallState, Retrying
from tenacity.stop import stop_after_attempt, stop_base, stop_before_delay, stop_never
from tenacity.wait import wait_base, wait_combine, wait_exponential, wait_none, wait_random_exponential

from producers.contract.messages import Outcome
from worker.errors import TransportError
from worker.exchange.replies import ReplyClass

AMBIGUOUS: Final = "ambiguous"
"""The verdict on an attempt whose bytes may have reached the exchange, but without a readable answer."""

Verdict = ReplyClass | Literal["ambiguous"]
"""The verdict on an attempt, as it is kept in `Attempt.verdict`."""

FAILED_TRIES = 5
"""So often "fail" is taken for bad luck. Its causes are not documented, so a change must not sit on it for long."""

REPLACED_TRIES = 3
"""Keys are hardly replaced more often while one change is sent."""

BACKOFF = wait_combine(wait_exponential(multiplier=0.1, max=30), wait_random_exponential(multiplier=0.1, max=30))
HOLD = wait_combine(wait_exponential(multiplier=1, max=24), wait_random_exponential(multiplier=0.25, max=6))
AT_ONCE = wait_none()


@dataclass(frozen=True, slots=True)
class Done:
    """The change has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retry:
    """The change is sent again, not before `after_s` seconds from now."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing of this user is sent for `after_s` seconds; then this change again. The attempt was no try.

    A hold may end after the change's deadline: the user has to wait whatever becomes of this change.
    """

    after_s: float


Decision = Done | Retry | Hold


def verdict_of(error: TransportError) -> Verdict:
    """The verdict on an attempt that got no reply."""
    return AMBIGUOUS if error.sent else ReplyClass.TRANSIENT


def next_step(
    verdicts: Sequence[str],
    *,
    tries: int,
    remaining_s: float,
    max_tries: int = 0,
    is_probe: bool = False,
    keys_replaced: bool = False,
) -> Decision:
    """What becomes of a change.

    Args:
        verdicts: of its attempts, at least one, oldest first; the last is to be decided on. The last 20 suffice.
        tries: how many attempts counted so far, this one included unless it was throttled or of an outage.
        remaining_s: until the change's deadline.
        max_tries: the last try; 0 for no bound but the deadline.
        is_probe: whether the last one was an open breaker's probe.
        keys_replaced: whether the keys of the last one are no longer the user's.
    """
    last = verdicts[-1]
    requests = 1 if is_probe else max(tries, sum(verdict != ReplyClass.THROTTLED for verdict in verdicts))
    last_try: stop_base = stop_after_attempt(max_tries) if max_tries else stop_never
    if tries and last_try(_state(tries)):
        remaining_s = 0.0
    match last:
        case ReplyClass.SUCCESS:
            return Done(Outcome.APPLIED)
        case ReplyClass.PERMANENT:
            return Done(Outcome.REJECTED)
        case ReplyClass.CREDENTIALS if keys_replaced and verdicts.count(last) <= REPLACED_TRIES:
            return _again(AT_ONCE, requests, remaining_s)
        case ReplyClass.CREDENTIALS:
            return Done(Outcome.UNAUTHORIZED)
        case ReplyClass.THROTTLED:
            return Hold(HOLD(_state(_run_length(verdicts))))
        case ReplyClass.FAILED if stop_after_attempt(FAILED_TRIES)(_state(verdicts.count(last))):
            return Done(Outcome.REJECTED)
        case ReplyClass.CLOCK_SKEW if verdicts.count(last) == 1:
            return _again(AT_ONCE, requests, remaining_s)
        case _:
            return _again(BACKOFF, requests, remaining_s)


def _again(wait: wait_base, requests: int, remaining_s: float) -> Done | Retry:
    """Another request, if there is time left for one."""
    state = _state(requests)
    state.upcoming_sleep = wait(state)
    if stop_before_delay(remaining_s)(state):
        return Done(Outcome.EXHAUSTED)
    return Retry(state.upcoming_sleep)


_RETRYING = Retrying()  # a state must belong to one; nothing asks it


def _state(number: int) -> RetryCallState:
    """tenacity's view of the moment after the `number`-th attempt, with its clock standing at zero."""
    state = RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = max(1, number)
    state.start_time = state.outcome_timestamp = 0.0
    return state


def _run_length(verdicts: Sequence[str]) -> int:
    """How many verdicts at the end are the same."""
    last = verdicts[-1]
    return next((n for n, verdict in enumerate(reversed(verdicts)) if verdict != last), len(verdicts))
