"""Retries of Redis commands without a limit of tries, with capped and jittered pauses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import NoPermissionError, RedisError, ResponseError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from producers.transport.explain import ACL_REFUSAL
from producers.transport.redis_errors import refusal_text

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0

T = TypeVar("T")

log = logging.getLogger(__name__)


async def retry_until_up(command: Callable[[], Awaitable[T]]) -> T:
    """Run an idempotent command until Redis accepts it, and return the reply. Errors of Redis are retried for ever."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((RedisError, OSError)),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=MAX_PAUSE_S),
        before_sleep=_log_retry,
    )
    async for attempt in retrying:
        with attempt:
            answer = await command()
            if attempt.retry_state.attempt_number > 1:
                log.info("Redis answers again, at try %d", attempt.retry_state.attempt_number)
            return answer
    raise AssertionError("unreachable: the loop above has no stop")


def _log_retry(state: RetryCallState) -> None:
    """Log tries 1, 2, 4, 8 and so on: an outage of hours must not fill the log."""
    if state.attempt_number & (state.attempt_number - 1):
        return
    error = state.outcome.exception() if state.outcome else None
    text = refusal_text(error) if isinstance(error, Exception) else ""
    log.warning("%s (%s: %s); trying again", _describe_error(error), type(error).__name__, text)


def _describe_error(error: BaseException | None) -> str:
    if isinstance(error, NoPermissionError) or ACL_REFUSAL.search(str(error)):
        return "Redis's ACL does not permit a command of this worker; ops/redis.acl lists what it needs"
    return "Redis rejects a command" if isinstance(error, ResponseError) else "Redis does not answer"
