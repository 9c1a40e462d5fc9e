"""Performing plans on redis.asyncio: the one place where this side waits for a plan's trips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.errors import QueueUnavailable
from producers.trips import Call, Plan, Trip

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
    """The reply to one trip.

    Raises:
        RedisError: Redis did not answer.
    """
    if isinstance(trip, Call):
        return await heeding_cancellation(trip.script.run(redis, trip.keys, trip.args))
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


def unavailable(doing: str, exc: RedisError) -> QueueUnavailable:
    """The error of a Redis that did not answer, or refused."""
    what = "Redis refused" if isinstance(exc, ResponseError) else "Redis did not answer"
    return QueueUnavailable(f"{doing}: {what} ({type(exc).__name__}: {exc})")
