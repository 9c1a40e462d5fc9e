"""Many submissions on one connection: pipelined, so that several chunks are under way, and in order all the same."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis

from producers.submission import SUBMIT, SUBMIT_KEYS, Submission, arguments

CHUNK = 500
"""Changes a round trip: enough to make the trip negligible, short enough (5 ms) not to hold up others in Redis."""
CHUNKS_IN_FLIGHT = 4

T = TypeVar("T")
Chunk = list[tuple[T, Submission]]
"""Submissions, each with what its caller wants to find with the reply."""


async def submit_in_order(
    redis: Redis, chunks: AsyncIterable[Chunk[T]], lane_limit: int
) -> AsyncGenerator[tuple[Chunk[T], list[int]], None]:
    """Sends chunks one after the other, without waiting for the reply to each; gives each with its reply.

    Raises:
        RedisError: the chunks whose replies did not come may or may not be accepted.
    """
    under_way: deque[Chunk[T]] = deque()
    async with _connection(redis) as connection:
        async for chunk in chunks:
            args = arguments([submission for _, submission in chunk], lane_limit)
            # EVAL, not EVALSHA: were the script unknown in mid-stream, a later chunk could overtake an earlier one.
            await connection.send_command("EVAL", SUBMIT.text, len(SUBMIT_KEYS), *SUBMIT_KEYS, *args)
            under_way.append(chunk)
            if len(under_way) == CHUNKS_IN_FLIGHT:
                yield under_way.popleft(), await connection.read_response()
        while under_way:
            yield under_way.popleft(), await connection.read_response()


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
