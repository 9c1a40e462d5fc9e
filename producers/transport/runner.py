"""Performing plans on redis.asyncio: the one place where this side waits for a plan's trips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from producers.errors import QueueUnavailable
from producers.transport.plan import Call, Plan, Trip
from producers.transport.retry import Patience

T = TypeVar("T")


async def perform(redis: Redis, plan: Plan[T], doing: str) -> T:
    """What a plan returns.

    Args:
        redis: where.
        plan: what.
        doing: what the caller is about, for the error: "asking for the status of 4711".

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    async with reaching_redis(doing):
        try:
            trip = next(plan)
            while True:
                trip = plan.send(await make(redis, trip))
        except StopIteration as end:
            answer: T = end.value
            return answer


async def make(redis: Redis, trip: Trip) -> Any:
    """The reply to one trip. A Redis that is away is waited for, as long as the client was opened to wait.

    Raises:
        RedisError: Redis did not answer.
    """
    patience = Patience(wait_s_of(redis))
    while True:
        try:
            return await _make_once(redis, trip)
        except RedisError as exc:
            pause_s = patience.pause_s(exc, trip)
            if pause_s is None:
                raise
        await asyncio.sleep(pause_s)


async def _make_once(redis: Redis, trip: Trip) -> Any:
    if isinstance(trip, Call):
        return await heeding_cancellation(trip.script.run(redis, trip.keys, trip.args))
    if len(trip.commands) == 1:
        return [await heeding_cancellation(redis.execute_command(*trip.commands[0]))]  # type: ignore[no-untyped-call]
    async with redis.pipeline(transaction=True) as pipe:
        for command in trip.commands:
            pipe.execute_command(*command)
        return await heeding_cancellation(pipe.execute())


async def heeding_cancellation(reply: Awaitable[T]) -> T:
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


@asynccontextmanager
async def reaching_redis(doing: str) -> AsyncIterator[None]:
    """Redis's errors become QueueUnavailable."""
    try:
        yield
    except RedisError as exc:  # redis-py wraps the system's errors; an OSError is the caller's iterable's
        raise unavailable(doing, exc) from exc


def wait_s_of(redis: Any) -> float:
    """How long a call on this client waits for a Redis that is away."""
    wait_s: float = getattr(redis.connection_pool, "wait_s", 0.0)
    return wait_s


def unavailable(doing: str, exc: RedisError) -> QueueUnavailable:
    """The error of a Redis that did not answer, or refused."""
    return QueueUnavailable(f"{doing}: {_what_happened(exc)} ({type(exc).__name__}: {exc})")


def _what_happened(exc: RedisError) -> str:
    if isinstance(exc, AuthenticationError):
        return "Redis does not know this user or password; correct COPYTRADE_REDIS_DSN"
    if isinstance(exc, NoPermissionError) or "ACL failure" in str(exc):
        return "Redis's ACL does not let this user do that; ops/redis.acl shows what is needed"
    return "Redis refused" if isinstance(exc, ResponseError) else "Redis did not answer"
