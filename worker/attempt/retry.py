"""The next step for a change after an attempt. No I/O, no clock.

    verdict                 step
    success                 Done(APPLIED)
    permanent               Done(REJECTED)
    credentials             Done(UNAUTHORIZED); Retry at once, at most three times, if the keys were replaced meanwhile
    transient, ambiguous    Retry after a back-off; Done(EXHAUSTED) if it ends after the deadline, or after the last try
    clock_skew              the first: Retry at once, with a new timestamp; later ones as transient
    failed                  as transient, but the fifth: Done(REJECTED)
    throttled               Hold: the user waits, and the attempt does not count as a try

Back-off before try n + 1 (n = 1, 2, ...), seconds, half of it fixed and half drawn ("equal jitter"):

    n          1          2          3          4          5       ...  9          10 and on
    wait   0.1..0.2   0.2..0.4   0.4..0.8   0.8..1.6   1.6..3.2    ...  25.6..51.2   30..60

n counts all requests but throttled ones, also those of an outage: about 90 fit into a deadline of an hour. After a
probe of an open breaker n is 1, since the breaker adds its own pauses. By default tries have no limit: a release of the
exchange takes hours, with 40015, 40725 and 45001 meanwhile (Bitget API documentation, FAQ, question 14, read December
2025). `Attempt.is_try` defines which attempts count as tries.

Hold after the n-th throttling in a row, seconds, four fifths of it fixed:

    n          1          2          3          4          5          6 and on
    wait   1..1.25    2..2.5     4..5       8..10      16..20      24..30

Never below 1 s, the window of the user's limit.

If the exchange's Retry-After asks for more than a hold or a back-off, the user or the change waits that long.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from producers.contract.messages import Outcome
from worker.errors import TransportError
from worker.exchange.replies import ReplyClass

AMBIGUOUS: Final = "ambiguous"
"""The verdict on an attempt whose request may have reached the exchange, but without a readable reply of its own."""

Verdict = ReplyClass | Literal["ambiguous"]
"""The verdict on an attempt, as it is stored in `Attempt.verdict`."""

FAILED_TRIES = 5
"""Replies "fail" after which a change is rejected. Their causes are not documented, so retries are few."""

REPLACED_TRIES = 3
"""Maximum of retries with replaced keys. More replacements during one change are unlikely."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double up to a maximum, with jitter.

    Attributes:
        first_s: The fixed part of the first delay.
        max_s: The largest fixed part.
        jitter: The largest random part, as a fraction of the fixed part.
    """

    first_s: float
    max_s: float
    jitter: float

    def delay_s(self, number: int) -> float:
        """Return the `number`-th delay, from 1."""
        doublings = min(max(number, 1) - 1, 64)  # more overflow a float, and are beyond any maximum
        fixed_s = min(self.first_s * 2.0**doublings, self.max_s)
        return fixed_s + random.uniform(0, fixed_s * self.jitter)  # noqa: S311 - jitter needs no secrecy


BACKOFF = Backoff(first_s=0.1, max_s=30, jitter=1.0)
HOLD = Backoff(first_s=1, max_s=24, jitter=0.25)


@dataclass(frozen=True, slots=True)
class Done:
    """The change has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retry:
    """The change is sent again, `after_s` seconds from now at the earliest."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing of this user is sent for `after_s` seconds; then this change is sent again.

    A hold may end after the change's deadline, since it applies to all changes of the user.
    """

    after_s: float


Decision = Done | Retry | Hold


def verdict_of(error: TransportError) -> Verdict:
    """Return the verdict on an attempt that got no reply."""
    return AMBIGUOUS if error.sent else ReplyClass.TRANSIENT


def verdict_of_reply(reply_class: ReplyClass, *, is_stale: bool) -> Verdict:
    """Return the verdict on an attempt that got a reply.

    Args:
        reply_class: The class of the reply.
        is_stale: Whether the exchange wrote the reply before the request was sent. Such a reply is of another request
            and ends no change.
    """
    ends_change = reply_class not in (ReplyClass.TRANSIENT, ReplyClass.THROTTLED, ReplyClass.CLOCK_SKEW)
    return AMBIGUOUS if is_stale and ends_change else reply_class


def next_step(
    verdicts: Sequence[str],
    *,
    tries: int,
    remaining_s: float,
    max_tries: int = 0,
    is_probe: bool = False,
    keys_replaced: bool = False,
    retry_after_s: float | None = None,
) -> Decision:
    """Return the next step for a change.

    Args:
        verdicts: Verdicts of its last attempts (up to 20), oldest first. The last one is of the attempt to decide on.
        tries: Number of attempts that count as tries (`Attempt.is_try`), this one included.
        remaining_s: Time until the change's deadline.
        max_tries: Maximum of tries; 0 for no limit but the deadline.
        is_probe: Whether the last request was an open breaker's probe.
        keys_replaced: Whether the keys of the last request are no longer the user's.
        retry_after_s: How long the exchange asks to wait; None if it does not say.
    """
    last = verdicts[-1]
    requests = 1 if is_probe else max(tries, sum(verdict != ReplyClass.THROTTLED for verdict in verdicts))
    if max_tries and tries >= max_tries:
        remaining_s = 0.0
    match last:
        case ReplyClass.SUCCESS:
            return Done(Outcome.APPLIED)
        case ReplyClass.PERMANENT:
            return Done(Outcome.REJECTED)
        case ReplyClass.CREDENTIALS if keys_replaced and verdicts.count(last) <= REPLACED_TRIES:
            delay_s = 0.0
        case ReplyClass.CREDENTIALS:
            return Done(Outcome.UNAUTHORIZED)
        case ReplyClass.THROTTLED:
            return Hold(max(HOLD.delay_s(_run_length(verdicts)), retry_after_s or 0.0))
        case ReplyClass.FAILED if verdicts.count(last) >= FAILED_TRIES:
            return Done(Outcome.REJECTED)
        case ReplyClass.CLOCK_SKEW if verdicts.count(last) == 1:
            delay_s = 0.0
        case _:
            delay_s = max(BACKOFF.delay_s(requests), retry_after_s or 0.0)
    return Retry(delay_s) if delay_s < remaining_s else Done(Outcome.EXHAUSTED)


def _run_length(verdicts: Sequence[str]) -> int:
    """Return how many verdicts in a row, counted from the last, equal the last."""
    last = verdicts[-1]
    return next((n for n, verdict in enumerate(reversed(verdicts)) if verdict != last), len(verdicts))
