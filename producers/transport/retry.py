"""Retries while Redis is away: which failed steps may run again, and after which pause.

A step that certainly did not run may always run again. A step whose reply was lost may have run: it is retried only if
it is idempotent. Reads are, and so are submissions, by their job IDs. Cancelling is not: the second reply would say
that there is nothing left to cancel.
"""

from __future__ import annotations

import random
import time
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from producers.transport.connections import NotConnected, PrimaryDemoted, SlotMoved
from producers.transport.explanations import ACL_REFUSAL
from producers.transport.plan import Step
from producers.transport.redis_errors import REFUSED_UNTOUCHED, is_away, refusal_code

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0

_IN_DOUBT = "an earlier try may have run"


class RetryBudget:
    """How long one caller keeps retrying, with growing, jittered pauses."""

    def __init__(self, wait_s: float) -> None:
        """Retry for `wait_s` seconds from now on."""
        self._until_s = time.monotonic() + wait_s
        self._pause_s = MIN_PAUSE_S
        self._has_followed = self._is_in_doubt = False

    def pause_s(self, error: RedisError, step: Step[Any]) -> float | None:
        """Return the pause before the step is retried; None if it must not be, or the time is over.

        A slot that has moved is followed once without a pause, also by a caller that does not wait: its new owner is
        there, and the old one has executed nothing.
        """
        if isinstance(error, SlotMoved) and not self._has_followed:
            self._has_followed = True
            return 0.0
        if self._is_in_doubt:
            error.add_note(_IN_DOUBT)
        self._is_in_doubt |= not (isinstance(error, NotConnected) or was_refused_untouched(error))
        left_s = self._until_s - time.monotonic()
        if left_s <= 0 or not is_retryable(error, step):
            return None
        pause_s = self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        return min(left_s, pause_s)


def is_retryable(error: RedisError, step: Step[Any]) -> bool:
    """Return whether a failed step may safely run again, and might then succeed."""
    if isinstance(error, AuthenticationError):
        return False
    if isinstance(error, NotConnected | PrimaryDemoted) or refusal_code(error) in REFUSED_UNTOUCHED:
        return True
    if isinstance(error, ResponseError) and not is_away(error):
        return False
    return step.idempotent


def was_refused_untouched(error: RedisError) -> bool:
    """Return whether Redis certainly refused a step before it ran, and each try of it before.

    It rejected the password, or its ACL or its state forbids the command. An ACL that stops a script may do so midway.
    """
    if _IN_DOUBT in getattr(error, "__notes__", ()):
        return False
    if isinstance(error, NoPermissionError):
        return ACL_REFUSAL.search(str(error)) is None
    return isinstance(error, AuthenticationError | PrimaryDemoted) or refusal_code(error) in REFUSED_UNTOUCHED
