"""Performing plans on redis.asyncio: the one place where this side waits for a plan's trips."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

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
        return await trip.script.run(redis, trip.keys, trip.args)
    async with redis.pipeline(transaction=True) as pipe:
        for command in trip.commands:
            pipe.execute_command(*command)
        return await pipe.execute()


@asynccontextmanager
async def reaching_redis(doing: str) -> AsyncIterator[None]:
    """Redis's errors become QueueUnavailable."""
    try:
        yield
    except RedisError as exc:  # redis-py wraps the system's errors; an OSError is the caller's iterable's
        raise QueueUnavailable(f"{doing}: Redis did not answer ({type(exc).__name__}: {exc})") from exc
