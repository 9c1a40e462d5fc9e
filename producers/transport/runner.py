"""Performing plans on redis.asyncio: the one place where this side waits for a plan's trips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from producers.errors import QueueUnavailable
from producers.transport.plan import Plan, RunScript, Step
from producers.transport.retry import RetryBudget

T = TypeVar("T")


async def run_plan(redis: Redis, plan: Plan[T], action: str) -> T:
    """What a plan returns.

    Args:
        redis: where.
        plan: what.
        action: what the caller is about, for the error: "asking for the status of 4711".

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with translate_errors(action):
        try:
            step = next(plan)
            while True:
                step = plan.send(await execute(redis, step))
        except StopIteration as end:
            answer: T = end.value
            return answer


async def execute(redis: Redis, step: Step) -> Any:
    """The reply to one trip. A Redis that is away is waited for, as long as the client was opened to wait.

    Raises:
        RedisError: Redis did not answer.
    """
    patience = RetryBudget(wait_s_of(redis))
    while True:
        try:
            return await _execute_once(redis, step)
        except RedisError as exc:
            pause_s = patience.pause_s(exc, step)
            if pause_s is None:
                raise
        await asyncio.sleep(pause_s)


async def _execute_once(redis: Redis, step: Step) -> Any:
    if isinstance(step, RunScript):
        return await reraise_cancellation(step.script.run(redis, step.keys, step.args))
    if len(step.commands) == 1:
        return [await reraise_cancellation(redis.execute_command(*step.commands[0]))]  # type: ignore[no-untyped-call]
    async with redis.pipeline(transaction=True) as pipe:
        for command in step.commands:
            pipe.execute_command(*command)
        return await reraise_cancellation(pipe.execute())


async def reraise_cancellation(reply: Awaitable[T]) -> T:
    """A reply of Redis's, unless the caller was cancelled while it waited for it.

    Before Python 3.12, redis-py's use of `asyncio.wait_for` may swallow a cancellation, and with it a time-out of the
    caller's.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    answer = await reply
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


@contextmanager
def translate_errors(action: str) -> Iterator[None]:
    """Raise QueueUnavailable in place of an error of redis-py; for synchronous code too.

    Args:
        action: what the caller was doing, for the message.
    """
    try:
        yield
    except RedisError as exc:  # redis-py wraps the system's errors; an OSError is the caller's iterable's
        raise unavailable(action, exc) from exc


def wait_s_of(redis: Any) -> float:
    """How long a call on this client waits for a Redis that is away."""
    wait_s: float = getattr(redis.connection_pool, "wait_s", 0.0)
    return wait_s


def unavailable(action: str, exc: RedisError) -> QueueUnavailable:
    """The error of a Redis that did not answer, or refused."""
    return QueueUnavailable(f"{action}: {_what_happened(exc)} ({type(exc).__name__}: {exc})")


def _what_happened(exc: RedisError) -> str:
    if isinstance(exc, AuthenticationError):
        return "Redis does not know this user or password; correct COPYTRADE_REDIS_DSN"
    if isinstance(exc, NoPermissionError) or "ACL failure" in str(exc):
        return "Redis's ACL does not let this user do that; ops/redis.acl shows what is needed"
    return "Redis refused" if isinstance(exc, ResponseError) else "Redis did not answer"
