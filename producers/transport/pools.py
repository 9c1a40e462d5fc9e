"""Connections to Redis as this project wants them: what redis-py 5.3 does otherwise, mended in one place.

- Connecting does not hold up others: redis-py's asynchronous pool connects under a lock, so that ten callers of a
  server that hangs would be told one after the other, the last of them after ten time-outs.
- A server that says READONLY was demoted: its connection is dropped whatever the scheme, so that the next command asks
  the name, or the sentinels, anew. redis-py does so for sentinels only.
- A failure to connect is told from a lost reply: the first may be repeated by anybody, see `producers.transport.retry`.
- Sentinels are asked once for all who wait, since redis-py's search loses sentinels when it runs twice at once.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, NamedTuple

from redis import connection as plain
from redis import sentinel as plain_sentinel
from redis.asyncio import connection as awaiting
from redis.asyncio import sentinel as awaiting_sentinel
from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

PRIMARY_DEMOTED = "this server is a replica by now and takes no changes; the connection to it was dropped"


class NotConnected(RedisConnectionError):
    """There was no connection to be had, so the command was not sent."""


class PrimaryDemoted(RedisConnectionError):
    """The server is a replica: it did nothing, and its connection was dropped."""


def is_readonly(error: ResponseError) -> bool:
    """Whether a server refused because it is a replica. What a script raises anew has lost its class."""
    return isinstance(error, ReadOnlyError) or str(error).startswith("READONLY ")


class _DropReadonly:
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except ResponseError as exc:
            if not is_readonly(exc):
                raise
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise PrimaryDemoted(PRIMARY_DEMOTED) from exc


class Tcp(_DropReadonly, awaiting.Connection):
    """A TCP connection."""


class Tls(_DropReadonly, awaiting.SSLConnection):
    """A TLS connection."""


class Unix(_DropReadonly, awaiting.UnixDomainSocketConnection):
    """A connection to a socket file."""


class SentinelTcp(awaiting_sentinel.SentinelManagedConnection, Tcp):
    """A TCP connection to the master that sentinels name."""


class SentinelTls(awaiting_sentinel.SentinelManagedConnection, Tls):
    """A TLS connection to the master that sentinels name."""


class Pool(awaiting.ConnectionPool):
    """Connections of an asynchronous client.

    Attributes:
        wait_s: how long a producer's call waits for a Redis that is away.
    """

    wait_s: float = 0.0

    async def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """A connection that is ready. Nobody waits for another's.

        Raises:
            NotConnected: there is none to be had.
            AuthenticationError: the server refused who we are.
        """
        connection: Any = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except AuthenticationError:
            await self.release(connection)
            raise
        except (RedisConnectionError, RedisTimeoutError) as exc:
            await self.release(connection)
            raise NotConnected(str(exc)) from exc
        except BaseException:
            await self.release(connection)
            raise
        return connection


class SentinelPool(Pool, awaiting_sentinel.SentinelConnectionPool):
    """Connections to the master that sentinels name."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnects, from the sentinels too if from all.

        Idle connections leave the pool first, so that nobody takes one that is being closed.
        """
        if inuse_connections:
            await super().disconnect()
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()
            return
        idle, self._available_connections = self._available_connections, []
        for connection in idle:
            await connection.disconnect(nowait=True)


class Sentinels(awaiting_sentinel.Sentinel):
    """The sentinels of an asynchronous client."""

    _search: asyncio.Task[Any] | None = None

    async def discover_master(self, service_name: str) -> Any:
        """The master's host and port."""
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(super().discover_master(service_name))
            self._search.add_done_callback(_seen)
        return await asyncio.shield(self._search)


def _seen(search: asyncio.Task[Any]) -> None:
    """Whoever waited for it has its error; if nobody does any more, it is no news."""
    if not search.cancelled():
        search.exception()


class _SyncDropReadonly:
    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except ResponseError as exc:
            if not is_readonly(exc):
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise PrimaryDemoted(PRIMARY_DEMOTED) from exc


class SyncTcp(_SyncDropReadonly, plain.Connection):
    """A TCP connection, without await."""


class SyncTls(_SyncDropReadonly, plain.SSLConnection):
    """A TLS connection, without await."""


class SyncUnix(_SyncDropReadonly, plain.UnixDomainSocketConnection):
    """A connection to a socket file, without await."""


class SyncSentinelTcp(plain_sentinel.SentinelManagedConnection, SyncTcp):
    """A TCP connection to the master that sentinels name, without await."""


class SyncSentinelTls(plain_sentinel.SentinelManagedConnection, SyncTls):
    """A TLS connection to the master that sentinels name, without await."""


class SyncPool(plain.ConnectionPool):
    """Connections of a synchronous client.

    Attributes:
        wait_s: how long a producer's call waits for a Redis that is away.
    """

    wait_s: float = 0.0

    def get_connection(self, command_name: object = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - redis-py's
        """A connection that is ready.

        Raises:
            NotConnected: there is none to be had.
            AuthenticationError: the server refused who we are.
        """
        try:
            return super().get_connection()
        except AuthenticationError:
            raise
        except (RedisConnectionError, RedisTimeoutError) as exc:
            raise NotConnected(str(exc)) from exc


class SyncSentinelPool(SyncPool, plain_sentinel.SentinelConnectionPool):
    """Connections to the master that sentinels name, without await."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnects, from the sentinels too if from all."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class SyncSentinels(plain_sentinel.Sentinel):
    """The sentinels of a synchronous client."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._turn = threading.Lock()

    def discover_master(self, service_name: str) -> Any:
        """The master's host and port."""
        with self._turn:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]


class ConnectionClasses(NamedTuple):
    """The classes that a client's connections are made of; of either redis-py, which have no types in common."""

    pool: Any
    tcp: Any
    tls: Any
    unix: Any
    sentinel_pool: Any
    sentinel_tcp: Any
    sentinel_tls: Any
    sentinels: Any


ASYNC = ConnectionClasses(Pool, Tcp, Tls, Unix, SentinelPool, SentinelTcp, SentinelTls, Sentinels)
SYNC = ConnectionClasses(
    SyncPool, SyncTcp, SyncTls, SyncUnix, SyncSentinelPool, SyncSentinelTcp, SyncSentinelTls, SyncSentinels
)
