"""Connections to Redis.

They differ from those of redis-py 5.3 in these ways:

- Connecting does not block others. redis-py's asynchronous pool connects under a lock, so that ten callers of a hanging
  server would fail one after the other, the last of them after ten time-outs.
- A server that answers READONLY was demoted to a replica. Its connection is dropped whatever the scheme, so that the
  next command resolves the host name, or asks the sentinels, again. redis-py does this with sentinels only.
- A failure to connect is distinct from a lost reply: it may always be retried, see `producers.transport.retry`.
- Concurrent callers share one search for the primary: redis-py's search loses sentinels if it runs twice at once.

redis-py calls the primary a master.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, NamedTuple

from redis import connection as sync_connection
from redis import sentinel as sync_sentinel
from redis.asyncio import connection as async_connection
from redis.asyncio import sentinel as async_sentinel
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.redis_errors import refusal_code

DEMOTED = "this server is now a replica and accepts no writes; its connection was dropped"


class NotConnected(RedisConnectionError):
    """No connection could be opened, so the command was not sent."""


class PrimaryDemoted(RedisConnectionError):
    """The server is a replica. It executed nothing, and its connection was dropped."""


class ConnectionClasses(NamedTuple):
    """The classes that a client's connections are made of. redis-py's two families of them have no types in common."""

    pool: Any
    tcp: Any
    tls: Any
    unix: Any
    sentinel_pool: Any
    sentinel_tcp: Any
    sentinel_tls: Any
    sentinels: Any


def _is_readonly(error: ResponseError) -> bool:
    """Return whether a server refused because it is a replica."""
    return refusal_code(error) == "READONLY"


class _DropReadonly:
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except ResponseError as exc:
            if not _is_readonly(exc):
                raise
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise PrimaryDemoted(DEMOTED) from exc


class _Tcp(_DropReadonly, async_connection.Connection): ...


class _Tls(_DropReadonly, async_connection.SSLConnection): ...


class _Unix(_DropReadonly, async_connection.UnixDomainSocketConnection): ...


class _SentinelTcp(async_sentinel.SentinelManagedConnection, _Tcp): ...


class _SentinelTls(async_sentinel.SentinelManagedConnection, _Tls): ...


class _Pool(async_connection.ConnectionPool):
    wait_s: float = 0.0

    async def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """Return a connected connection, without waiting for other callers to connect.

        Raises:
            NotConnected: no connection could be opened.
            AuthenticationError: the server rejected the credentials.
        """
        connection: Any = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException as exc:
            await self.release(connection)
            if isinstance(exc, RedisConnectionError | RedisTimeoutError) and not isinstance(exc, AuthenticationError):
                raise NotConnected(str(exc)) from exc
            raise
        return connection


class _SentinelPool(_Pool, async_sentinel.SentinelConnectionPool):
    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them and those to the sentinels.

        Idle connections leave the pool first, so that no caller gets one that is being closed.
        """
        if inuse_connections:
            await super().disconnect()
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()
            return
        idle, self._available_connections = self._available_connections, []
        for connection in idle:
            await connection.disconnect(nowait=True)


class _Sentinels(async_sentinel.Sentinel):
    _search: asyncio.Task[Any] | None = None

    async def discover_master(self, service_name: str) -> Any:
        """Return the primary's host and port."""
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(super().discover_master(service_name))
            self._search.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._search)


def _retrieve_exception(search: asyncio.Task[Any]) -> None:
    """Mark the exception as retrieved; waiters have already received it."""
    if not search.cancelled():
        search.exception()


class _SyncDropReadonly:
    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except ResponseError as exc:
            if not _is_readonly(exc):
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise PrimaryDemoted(DEMOTED) from exc


class _SyncTcp(_SyncDropReadonly, sync_connection.Connection): ...


class _SyncTls(_SyncDropReadonly, sync_connection.SSLConnection): ...


class _SyncUnix(_SyncDropReadonly, sync_connection.UnixDomainSocketConnection): ...


class _SyncSentinelTcp(sync_sentinel.SentinelManagedConnection, _SyncTcp): ...


class _SyncSentinelTls(sync_sentinel.SentinelManagedConnection, _SyncTls): ...


class _SyncPool(sync_connection.ConnectionPool):
    wait_s: float = 0.0

    def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """Return a connected connection.

        Raises:
            NotConnected: no connection could be opened.
            AuthenticationError: the server rejected the credentials.
        """
        try:
            return super().get_connection()
        except AuthenticationError:
            raise
        except (RedisConnectionError, RedisTimeoutError) as exc:
            raise NotConnected(str(exc)) from exc


class _SyncSentinelPool(_SyncPool, sync_sentinel.SentinelConnectionPool):
    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections, or all of them and those to the sentinels."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class _SyncSentinels(sync_sentinel.Sentinel):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def discover_master(self, service_name: str) -> Any:
        """Return the primary's host and port."""
        with self._lock:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]


ASYNC = ConnectionClasses(_Pool, _Tcp, _Tls, _Unix, _SentinelPool, _SentinelTcp, _SentinelTls, _Sentinels)
SYNC = ConnectionClasses(
    _SyncPool, _SyncTcp, _SyncTls, _SyncUnix, _SyncSentinelPool, _SyncSentinelTcp, _SyncSentinelTls, _SyncSentinels
)
