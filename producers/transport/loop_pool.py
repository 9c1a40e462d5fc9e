"""The pool of connections of one event loop, for redis.asyncio.

It differs from the pools of redis-py 5.3 in these ways:

- The number of connections is bounded. At the bound, callers wait for their turn, in the order in which they came.
  redis-py's BlockingConnectionPool lets later callers pass those that wait, prefers dead connections to live ones, and
  keeps all that it ever opened.
- A live idle connection is used before a new one is opened, the latest first. Those that are dead, or idle for long,
  are closed.
- Connecting does not block others. redis-py's ConnectionPool connects under a lock, so that ten callers of a hanging
  server would fail one after the other, the last of them after ten time-outs.
- Concurrent callers share one search for the primary: redis-py's search loses sentinels if it runs twice at once.

redis-py calls the primary a master. `producers.transport.sync_pools` has the pools for redis.Redis.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis
from redis.asyncio import connection as async_connection
from redis.asyncio import sentinel as async_sentinel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.connections import (
    NotConnected,
    is_connect_failure,
    no_free_connection,
)
from producers.transport.idle import IdleConnections

SENTINEL_CONNECTIONS = 2
"""How many connections to one sentinel a client opens at most; its searches for the primary are shared."""


class LoopPool(async_connection.ConnectionPool):
    """The connections of one event loop."""

    def __init__(self, *args: Any, max_connections: int, wait_s: float, **options: Any) -> None:
        super().__init__(*args, max_connections=max_connections, **options)  # type: ignore[misc]  # `args` are the sentinels'
        self.blocking_share = threading.Semaphore(max_connections // 2)
        self._max_wait_s = max(wait_s, options.get("socket_connect_timeout") or 0.0)
        self._turns = asyncio.Semaphore(max_connections)
        self._idle: IdleConnections[Any] = IdleConnections()
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False

    async def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """Return a connected connection.

        Raises:
            NoFreeConnection: all connections were in use for as long as callers wait.
            NotConnected: no connection could be opened.
            AuthenticationError: the server rejected the credentials.
        """
        await self._wait_for_turn()
        try:
            connection = self._pop_usable() or await self._open()
        except BaseException:
            self._turns.release()
            raise
        connection.pool_in_use = self
        self._in_use_connections.add(connection)
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back, and let the next caller in."""
        if connection not in self._in_use_connections:
            return
        self._in_use_connections.remove(connection)
        connection.pool_in_use = None
        if connection.is_connected and self._is_current(connection) and not self._closed:
            self._idle.add(connection, time.monotonic())
            self._schedule_expiry()
        else:
            connection.close_now()
        self._turns.release()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them for good.

        Idle connections leave the pool first, so that no caller gets one that is being closed.
        """
        idle = self._idle.pop_all()
        if not inuse_connections:
            for connection in idle:
                connection.close_now()
            return
        self._stop()
        closing = (connection.disconnect() for connection in (*idle, *self._in_use_connections))
        await asyncio.gather(*closing, return_exceptions=True)

    def abandon(self) -> None:
        """Close all connections without their event loop, which is closed."""
        self._stop()
        for connection in (*self._idle.pop_all(), *self._in_use_connections):
            connection.close_now()

    async def _wait_for_turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise no_free_connection(self.max_connections, self._max_wait_s) from None

    def _pop_usable(self) -> Any:
        """Return the idle connection that was used last; None if there is none. Close those that cannot be used."""
        self._close_expired()
        while (connection := self._idle.pop_latest()) is not None:
            if connection.usable and self._is_current(connection):
                return connection
            connection.close_now()
        return None

    async def _open(self) -> Any:
        connection: Any = self.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except (RedisConnectionError, RedisTimeoutError) as exc:
            connection.close_now()
            if not is_connect_failure(exc):
                raise
            given_back = self._pop_usable()  # meanwhile, by another caller
            if given_back is None:
                raise NotConnected(str(exc)) from exc
            return given_back
        except BaseException:
            connection.close_now()
            raise
        return connection

    def _is_current(self, connection: Any) -> bool:  # noqa: ARG002 - the sentinels' pool uses it
        """Return whether a connection leads to where a new one would lead."""
        return True

    def _close_expired(self) -> None:
        for connection in self._idle.pop_expired(time.monotonic()):
            connection.close_now()

    def _schedule_expiry(self) -> None:
        delay_s = self._idle.expires_in_s(time.monotonic())
        if self._expiry is None and delay_s is not None:
            self._expiry = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._close_expired()
        self._schedule_expiry()

    def _stop(self) -> None:
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()


class SharedSearch:
    """A search for the primary that concurrent callers share."""

    _task: asyncio.Task[Any] | None = None

    async def join(self, search: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return what the search under way finds; begin one if there is none."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(search())
            self._task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._task)


def _retrieve_exception(search: asyncio.Task[Any]) -> None:
    """Mark the exception as retrieved; waiters have already received it."""
    if not search.cancelled():
        search.exception()


class SentinelLoopPool(LoopPool, async_sentinel.SentinelConnectionPool):
    """The connections of one event loop, to the primary and to the sentinels."""

    def __init__(self, service_name: str, sentinels: list[dict[str, Any]], **options: Any) -> None:
        """Ask each of these sentinels, given by the options of the pool of its connections."""
        pools = [LoopPool(max_connections=SENTINEL_CONNECTIONS, wait_s=0, **sentinel) for sentinel in sentinels]
        super().__init__(service_name, _Sentinels(pools), **options)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them and those to the sentinels for good."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()

    def abandon(self) -> None:
        """Close all connections, those to the sentinels too, without their event loop, which is closed."""
        super().abandon()
        for sentinel in self.sentinel_manager.sentinels:
            sentinel.connection_pool.abandon()

    def _is_current(self, connection: Any) -> bool:
        return bool(self.master_address == (connection.host, connection.port))


class _Sentinels(async_sentinel.Sentinel):
    def __init__(self, pools: list[LoopPool]) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = [Redis.from_pool(pool) for pool in pools]
        self._search = SharedSearch()

    async def discover_master(self, service_name: str) -> Any:
        """Return the primary's host and port."""
        return await self._search.join(lambda: super(_Sentinels, self).discover_master(service_name))
