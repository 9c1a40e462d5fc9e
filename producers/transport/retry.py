"""Retries while Redis is away: which failed steps may run again, and after which pause.

A step that certainly did not run may always run again. A step whose reply was lost may have run: it is retried only if
it is idempotent. Reads are, and so are submissions, by their job IDs. Cancelling is not: the second reply would say
that there is nothing left to cancel.
"""

from __future__ import annotations

import random
import time
from typing import Any

from redis.exceptions import AuthenticationError, BusyLoadingError, OutOfMemoryError, RedisError, ResponseError

from producers.transport.plan import Step
from producers.transport.pools import NotConnected, PrimaryDemoted

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0

NOT_EXECUTED = (NotConnected, PrimaryDemoted, BusyLoadingError, OutOfMemoryError)
"""Redis was not reached, or refused before anything was written."""

TRANSIENT_REFUSALS = ("MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM")
"""Prefixes of the other refusals that end by themselves, or that an operator ends. A script can fail half-way with one
of these, so only idempotent steps are retried after them."""


class RetryBudget:
    """How long one caller keeps retrying, with growing, jittered pauses."""

    def __init__(self, wait_s: float) -> None:
        """Retry for `wait_s` seconds from now on."""
        self._until_s = time.monotonic() + wait_s
        self._pause_s = MIN_PAUSE_S

    def pause_s(self, error: RedisError, step: Step[Any]) -> float | None:
        """Return the pause before the step is retried; None if it must not be, or the time is over."""
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
    if isinstance(error, NOT_EXECUTED):
        return True
    if isinstance(error, ResponseError) and not str(error).startswith(TRANSIENT_REFUSALS):
        return False
    return step.idempotent
