"""Many calls on one connection: pipelined, so that several are under way, and in order all the same."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.performing import heeding_cancellation
from producers.trips import Call

CALLS_IN_FLIGHT = 4

T = TypeVar("T")


async def in_order(
    redis: Redis, calls: AsyncIterable[tuple[T, Call]], *, in_flight: int = CALLS_IN_FLIGHT
) -> AsyncGenerator[tuple[T, Any], None]:
    """Makes calls one after the other, up to `in_flight` without waiting for the reply to each.

    The first is waited for alone: what it is refused for, the others must not do.

    Args:
        redis: where.
        calls: each with what its caller wants to find with the reply.
        in_flight: how many at once.

    Raises:
        RedisError: the calls whose replies did not come may or may not be made.
    """
    under_way: deque[T] = deque()
    begun = False
    async with _connection(redis) as connection:
        async for what, call in _with_replies_read(calls, connection, under_way):
            # EVAL, not EVALSHA: were the script unknown in mid-stream, a later call could overtake an earlier one.
            await connection.send_command("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)
            under_way.append(what)
            if len(under_way) == in_flight or not begun:
                begun = True
                yield under_way.popleft(), await heeding_cancellation(connection.read_response())
        while under_way:
            yield under_way.popleft(), await heeding_cancellation(connection.read_response())


async def _with_replies_read(
    calls: AsyncIterable[tuple[T, Call]], connection: Any, under_way: deque[T]
) -> AsyncIterator[tuple[T, Call]]:
    """The calls. If their source fails, those under way are made all the same: a lost connection might undo them."""
    try:
        async for one in calls:
            yield one
    except Exception:
        for _ in under_way:
            with suppress(RedisError, OSError):
                await connection.read_response()
        raise


async def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of any iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


@asynccontextmanager
async def _connection(redis: Redis) -> AsyncIterator[Any]:
    pool = redis.connection_pool
    connection = await pool.get_connection()
    try:
        yield connection
    except BaseException:
        await connection.disconnect(nowait=True)  # replies may still be on the wire: nobody else may read them
        raise
    finally:
        await pool.release(connection)
