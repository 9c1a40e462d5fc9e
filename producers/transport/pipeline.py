"""Many calls on one connection: pipelined, so that several are under way, and in order all the same."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Self, TypeAlias, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.transport.plan import RunScript
from producers.transport.retry import RetryBudget
from producers.transport.runner import reraise_cancellation, wait_s_of

CALLS_IN_FLIGHT = 4

T = TypeVar("T")
AnyIterable: TypeAlias = Iterable[T] | AsyncIterable[T]


async def pipelined(
    redis: Redis, calls: AsyncIterable[tuple[T, RunScript]], *, in_flight: int = CALLS_IN_FLIGHT
) -> AsyncGenerator[tuple[T, Any], None]:
    """Makes calls one after the other, up to `in_flight` without waiting for the reply to each.

    The first is waited for alone: what it is refused for, the others must not do. If Redis goes away and the client was
    opened to wait, those without a reply are made again on a new connection, in their order.

    Args:
        redis: where.
        calls: each with what its caller wants to find with the reply; repeatable.
        in_flight: how many at once.

    Raises:
        RedisError: the calls whose replies did not come may or may not be made.
    """
    begun = False
    async with _PipelinedConnection(redis) as line:
        async for what, call in _with_replies_read(calls, line):
            await line.send(what, call)
            if len(line.under_way) == in_flight or not begun:
                begun = True
                yield await line.receive()
        while line.under_way:
            yield await line.receive()


async def _with_replies_read(
    calls: AsyncIterable[tuple[T, RunScript]], line: _PipelinedConnection
) -> AsyncIterator[tuple[T, RunScript]]:
    """The calls. If their source fails, those under way are made all the same: a lost connection might undo them."""
    try:
        async for one in calls:
            yield one
    except Exception:
        with suppress(RedisError, OSError):
            while line.under_way:
                await line.receive()
        raise


class _PipelinedConnection:
    """One connection, and the calls on it without a reply; another connection when that one is lost."""

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._wait_s = wait_s_of(redis)
        self._connection: Any = None
        self.under_way: deque[tuple[Any, RunScript]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._connection is not None:
            await self._let_go(clean=kind is None)

    async def send(self, what: Any, call: RunScript) -> None:
        """Sends a call behind the others."""
        self.under_way.append((what, call))
        try:
            if self._connection is None:
                self._connection = await self._pool.get_connection()
            await self._write(call)
        except RedisError as exc:
            await self._begin_anew(exc, RetryBudget(self._wait_s))

    async def receive(self) -> tuple[Any, Any]:
        """The next reply, with what its caller wants to find with it."""
        patience: RetryBudget | None = None
        while True:
            try:
                reply = await reraise_cancellation(self._connection.read_response())
                break
            except RedisError as exc:
                patience = patience or RetryBudget(self._wait_s)
                await self._begin_anew(exc, patience)
        what, _ = self.under_way.popleft()
        return what, reply

    async def _write(self, call: RunScript) -> None:
        # EVAL, not EVALSHA: were the script unknown in mid-stream, a later call could overtake an earlier one.
        await self._connection.send_command("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)

    async def _begin_anew(self, error: RedisError, patience: RetryBudget) -> None:
        """Sends what has no reply yet again, if that may be."""
        while True:
            pause_s = patience.pause_s(error, self.under_way[0][1])
            if pause_s is None:
                raise error
            if self._connection is not None:
                await self._let_go(clean=False)
            await asyncio.sleep(pause_s)
            try:
                self._connection = await self._pool.get_connection()
                for _, call in self.under_way:
                    await self._write(call)
            except RedisError as exc:
                error = exc
            else:
                return

    async def _let_go(self, *, clean: bool) -> None:
        connection, self._connection = self._connection, None
        try:
            if not clean:  # replies may still be on the wire: nobody else may read them
                await connection.disconnect(nowait=True)
        finally:
            await self._pool.release(connection)


async def aiter_any(items: AnyIterable[T]) -> AsyncIterator[T]:
    """Iterate over any iterable, asynchronous or not."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
