"""Waiting for a Redis that is away: for as long as it takes, with a capped and jittered pause."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

T = TypeVar("T")

log = logging.getLogger("worker.redis")


async def patiently(command: Callable[[], Awaitable[T]]) -> T:
    """The command's answer, however often Redis has to be asked."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((RedisError, OSError)),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        before_sleep=_say_so,
    ):
        with attempt:
            return await command()
    raise AssertionError("unreachable: the loop above has no stop")


def _say_so(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("Redis does not answer (%s: %s); trying again", type(error).__name__, error)
