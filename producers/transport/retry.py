"""Waiting for a Redis that is away: whether a trip may be repeated, and after which pause.

What surely did nothing may be repeated by anybody. A trip whose reply was lost may have been made: it is repeated only
if making it twice does and answers what making it once does. Reads do; submissions do, by their job IDs; taking back
does not, since its second answer would be that there is nothing left to take back.
"""

from __future__ import annotations

import random
import time
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from producers.transport.plan import Step
from producers.transport.pools import NotConnected, PrimaryDemoted

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0

DID_NOTHING = (NotConnected, PrimaryDemoted, BusyLoadingError, OutOfMemoryError)
"""Redis was not reached, or refused before anything was written."""

PASSING_REFUSALS = ("MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM")
"""How other refusals begin that end by themselves, or by somebody's hand at the server. A script that raises an error
anew may have done a part, so that only what is repeatable is repeated."""


class RetryBudget:
    """How long one caller still waits, with growing, jittered pauses."""

    def __init__(self, wait_s: float) -> None:
        """Waits for `wait_s` seconds from now on."""
        self._until_s = time.monotonic() + wait_s
        self._pause_s = MIN_PAUSE_S

    def pause_s(self, error: RedisError, step: Step[Any]) -> float | None:
        """How long to wait before the trip is repeated; None if it must not be, or nobody waits any more."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0 or not is_retryable(error, step):
            return None
        pause_s = self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        return min(left_s, pause_s)


def is_retryable(error: RedisError, step: Step[Any]) -> bool:
    """Whether a trip that failed may be made again, and might then succeed."""
    if isinstance(error, AuthenticationError):
        return False
    if isinstance(error, DID_NOTHING):
        return True
    if isinstance(error, ResponseError) and not str(error).startswith(PASSING_REFUSALS):
        return False
    return step.idempotent
