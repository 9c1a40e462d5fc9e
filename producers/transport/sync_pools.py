"""Pools of connections for redis.Redis, which threads share. They do what `producers.transport.loop_pool` does."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from redis import Redis
from redis import connection as sync_connection
from redis import sentinel as sync_sentinel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.settings import DEFAULT_CONNECTIONS
from producers.transport.connections import (
    NotConnected,
    is_connect_failure,
    no_free_connection,
)
from producers.transport.idle import IdleConnections
from producers.transport.thread_search import SharedThreadSearch


class Turns:
    """A semaphore for threads that lets them in by the order in which they came; those of `threading` do not."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout_s: float) -> bool:
        """Wait for a turn. Return whether it came in time."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            came = turn.acquire(timeout=timeout_s)
        except BaseException:  # such as KeyboardInterrupt
            if self._withdraw(turn):
                self.release()
            raise
        return came or self._withdraw(turn)

    def release(self) -> None:
        """End a turn, and let the next thread in."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _withdraw(self, turn: threading.Lock) -> bool:
        """Stop waiting. Return whether the turn came at the last moment."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
            return True


class SyncPool(sync_connection.ConnectionPool):
    """The connections of one client."""

    def __init__(
        self, *args: Any, max_connections: int = DEFAULT_CONNECTIONS, wait_s: float = 0.0, **options: Any
    ) -> None:
        self.wait_s = wait_s
        self._max_wait_s = max(wait_s, options.get("socket_connect_timeout") or 0.0)
        super().__init__(*args, max_connections=max_connections, **options)  # type: ignore[misc]  # `args` are the sentinels'

    def reset(self) -> None:
        """Forget all connections: in a new pool, and in a process that was forked."""
        self._lock = threading.Lock()
        self._turns = Turns(self.max_connections)
        self._idle: IdleConnections[Any] = IdleConnections()
        self._expiry: threading.Timer | None = None
        self.blocking_share = threading.Semaphore(self.max_connections // 2)
        super().reset()

    def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """Return a connected connection.

        Raises:
            NoFreeConnection: all connections were in use for as long as callers wait.
            NotConnected: no connection could be opened.
            AuthenticationError: the server rejected the credentials.
        """
        self._checkpid()
        turns = self._turns
        if not turns.acquire(self._max_wait_s):
            raise no_free_connection(self.max_connections, self._max_wait_s)
        try:
            connection = self._pop_usable() or self._open()
        except BaseException:
            turns.release()
            raise
        with self._lock:
            self._in_use_connections.add(connection)
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back, and let the next caller in."""
        self._checkpid()
        with self._lock:
            if connection not in self._in_use_connections:
                return  # it is of the process that this one was forked from
            self._in_use_connections.remove(connection)
            if connection._sock is not None and self.owns_connection(connection):  # noqa: SLF001 - redis-py's
                self._idle.add(connection, time.monotonic())
                if len(self._idle) > 1:
                    self._schedule_expiry()
                connection = None
        if connection is not None:
            connection.close_now()
        self._turns.release()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them."""
        self._checkpid()
        with self._lock:
            connections = self._idle.pop_all()
            if inuse_connections:
                connections += self._in_use_connections
            if self._expiry is not None:
                self._expiry.cancel()
                self._expiry = None
        for connection in connections:
            connection.close_now()

    def _pop_usable(self) -> Any:
        """Return the idle connection that was used last; None if there is none. Close those that cannot be used."""
        self._close_expired()
        while True:
            with self._lock:
                connection = self._idle.pop_latest()
            if connection is None or (connection.usable and self.owns_connection(connection)):
                return connection
            connection.close_now()

    def _open(self) -> Any:
        connection: Any = self.connection_class(**self.connection_kwargs)
        try:
            connection.connect()
        except (RedisConnectionError, RedisTimeoutError) as exc:
            connection.close_now()
            if not is_connect_failure(exc):
                raise
            given_back = self._pop_usable()  # meanwhile, by another thread
            if given_back is None:
                raise NotConnected(str(exc)) from exc
            return given_back
        except BaseException:
            connection.close_now()
            raise
        return connection

    def _close_expired(self) -> None:
        with self._lock:
            expired = self._idle.pop_expired(time.monotonic())
        for connection in expired:
            connection.close_now()

    def _schedule_expiry(self) -> None:
        """Close idle connections in time, also if this client is not used any more. Called with the lock.

        This takes a thread. A program with one thread has one connection, and keeps it: since Python 3.12, `os.fork`
        warns of a second thread.
        """
        delay_s = self._idle.expires_in_s(time.monotonic())
        if self._expiry is None and delay_s is not None:
            self._expiry = threading.Timer(delay_s, self._expire)
            self._expiry.daemon = True
            self._expiry.start()

    def _expire(self) -> None:
        self._close_expired()
        with self._lock:
            self._expiry = None
            self._schedule_expiry()


class SyncSentinelPool(SyncPool, sync_sentinel.SentinelConnectionPool):
    """The connections of one client, to the primary and to the sentinels."""

    def __init__(self, service_name: str, sentinels: list[dict[str, Any]], **options: Any) -> None:
        """Ask each of these sentinels, given by the options of the pool of its connections."""
        super().__init__(service_name, _SyncSentinels([SyncPool(**sentinel) for sentinel in sentinels]), **options)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them and those to the sentinels."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.connection_pool.disconnect()


class _SyncSentinels(sync_sentinel.Sentinel):
    def __init__(self, pools: list[SyncPool]) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = [Redis.from_pool(pool) for pool in pools]
        self._search = SharedThreadSearch()

    def discover_master(self, service_name: str) -> Any:
        """Return the primary's host and port."""
        return self._search.join(lambda: super(_SyncSentinels, self).discover_master(service_name))  # type: ignore[no-untyped-call]
