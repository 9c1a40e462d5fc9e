"""Many script runs on one connection to each shard: several are in flight at once, unless their order matters.

Redis runs them in order, but it may refuse one and take the next, such as when memory gets free in between. The refused
one would then run behind the other. So only steps that share no lane are in flight together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.transport.clients import check_loop, keyspace_of
from producers.transport.plan import RunScript
from producers.transport.redis_errors import FULL, refusal_code
from producers.transport.retry import RetryBudget
from producers.transport.runner import reraise_cancellation, wait_s_of

MAX_IN_FLIGHT = 4


class Ordered(Protocol):
    """The key of a step whose order to others of its shard may matter."""

    @property
    def shard(self) -> int:
        """The number of the shard that it runs on."""

    @property
    def lanes(self) -> frozenset[str]:
        """The lanes that the step appends to."""


K = TypeVar("K", bound=Ordered)
T = TypeVar("T")
AnyIterable: TypeAlias = Iterable[T] | AsyncIterable[T]


async def pipelined(
    clients: Sequence[Redis], steps: AsyncIterable[tuple[K, RunScript[T]]], *, in_flight: int = MAX_IN_FLIGHT
) -> AsyncGenerator[tuple[K, T], None]:
    """Run steps, those of a shard in order, and yield each key with its reply.

    Up to `in_flight` steps of a shard are sent without waiting for replies. Its first step runs alone: if it is
    refused, the others must not run. If Redis goes away and the client was opened to wait, the steps without a reply
    run again on a new connection, in the same order. If Redis is full, the replies of all steps in flight are yielded
    before the error is raised: then none is in doubt.

    Args:
        clients: the client of each shard, whose pool gives the connection.
        steps: idempotent steps, each with a key that is returned with its reply.
        in_flight: how many steps of a shard may be without a reply at once.

    Raises:
        RedisError: Redis did not answer. The steps without a reply may have run or not; if Redis is full, not.
    """
    async with AsyncExitStack() as stack:
        connections: dict[int, _PipelinedConnection[K, T]] = {}
        try:
            async for key, step in _drain_on_error(steps, connections):
                most = in_flight if key.shard in connections else 1
                if key.shard not in connections:
                    connection = _PipelinedConnection[K, T](clients[key.shard])
                    connections[key.shard] = await stack.enter_async_context(connection)
                connection = connections[key.shard]
                while connection.must_wait(key):
                    yield await connection.receive()
                await connection.send(key, step)
                if len(connection.in_flight) == most:
                    yield await connection.receive()
            for connection in connections.values():
                while connection.in_flight:
                    yield await connection.receive()
        except ResponseError as exc:
            if refusal_code(exc) == FULL:
                async for keyed_reply in _receive_others(connections):
                    yield keyed_reply
            raise


async def _receive_others(connections: dict[int, _PipelinedConnection[K, T]]) -> AsyncIterator[tuple[K, T]]:
    """After a full Redis refused a step, yield the replies to those in flight that it did not refuse."""
    for connection in connections.values():
        async for keyed_reply in connection.receive_others():
            yield keyed_reply


async def _drain_on_error(
    steps: AsyncIterable[tuple[K, RunScript[T]]], connections: dict[int, _PipelinedConnection[K, T]]
) -> AsyncIterator[tuple[K, RunScript[T]]]:
    """Yield the steps. If their source fails, first read the replies in flight: a disconnect may lose those steps."""
    try:
        async for keyed_step in steps:
            yield keyed_step
    except Exception:
        for connection in connections.values():
            with suppress(RedisError, OSError):
                while connection.in_flight:
                    await connection.receive()
        raise


class _PipelinedConnection(Generic[K, T]):
    """One connection and the steps on it that have no reply yet. A lost connection is replaced.

    Attributes:
        in_flight: the steps without a reply, oldest first, each with its key.
        is_refused: whether the oldest of them was refused.
    """

    def __init__(self, redis: Redis) -> None:
        self.in_flight: deque[tuple[K, RunScript[T]]] = deque()
        self.is_refused = False
        check_loop(redis)
        self._pool = redis.connection_pool
        self._keys = keyspace_of(redis)
        self._wait_s = wait_s_of(redis)
        self._connection: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, error_type: object, *_: object) -> None:
        if self._connection is not None:
            await self._release(reusable=error_type is None)

    def must_wait(self, key: K) -> bool:
        """Return whether a step must not be sent before the replies in flight: it shares a lane with one of them."""
        return any(not key.lanes.isdisjoint(other.lanes) for other, _ in self.in_flight)

    async def send(self, key: K, step: RunScript[T]) -> None:
        """Send a step after the others."""
        self.in_flight.append((key, step))
        try:
            if self._connection is None:
                self._connection = await self._pool.get_connection()
            await self._write(step)
        except RedisError as exc:
            await self._reconnect(exc, RetryBudget(self._wait_s))

    async def receive(self) -> tuple[K, T]:
        """Return the key of the oldest step in flight, and the reply to it."""
        budget: RetryBudget | None = None
        while True:
            try:
                reply = await reraise_cancellation(self._connection.read_response())
                break
            except RedisError as exc:
                self.is_refused = refusal_code(exc) == FULL
                budget = budget or RetryBudget(self._wait_s)
                await self._reconnect(exc, budget)
                self.is_refused = False
        key, step = self.in_flight.popleft()
        return key, step.parse(reply)

    async def receive_others(self) -> AsyncIterator[tuple[K, T]]:
        """After a full Redis refused a step, of this shard or of another, yield the replies to those it did not."""
        if self.is_refused:
            self.in_flight.popleft()
        while self.in_flight:
            key, step = self.in_flight.popleft()
            try:
                reply = await reraise_cancellation(self._connection.read_response())
            except ResponseError as exc:
                if refusal_code(exc) != FULL:
                    raise
            else:
                yield key, step.parse(reply)

    async def _write(self, step: RunScript[T]) -> None:
        # EVAL, not EVALSHA: if a server did not know the script, a later step could overtake an earlier one.
        await self._connection.send_command(*step.script.bind(self._keys).command(step.args, is_known=False))

    async def _reconnect(self, error: RedisError, budget: RetryBudget) -> None:
        """Send the steps in flight again on a new connection; raise `error` if that is not allowed."""
        while True:
            pause_s = budget.pause_s(error, self.in_flight[0][1])
            if pause_s is None:
                raise error
            if self._connection is not None:
                await self._release(reusable=False)
            await asyncio.sleep(pause_s)
            try:
                self._connection = await self._pool.get_connection()
                for _, step in self.in_flight:
                    await self._write(step)
            except RedisError as exc:
                error = exc
            else:
                return

    async def _release(self, *, reusable: bool) -> None:
        connection, self._connection = self._connection, None
        try:
            if not reusable:  # it may still carry replies, which its next user must not read
                await connection.disconnect(nowait=True)
        finally:
            await self._pool.release(connection)


async def aiter_any(items: AnyIterable[T]) -> AsyncIterator[T]:
    """Yield the items of an iterable of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
