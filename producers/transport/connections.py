"""Connections to Redis, for both kinds of clients.

They differ from those of redis-py 5.3 in these ways:

- A server that answers READONLY was demoted to a replica. Its connection is dropped whatever the scheme, so that the
  next command resolves the host name, or asks the sentinels, again. redis-py does this with sentinels only.
- A failure to connect is distinct from a lost reply: it may always be retried, see `producers.transport.retry`. A
  server that is at its limit of clients refuses with the first reply.
- An asynchronous one sends a command at once. redis-py makes a task of each, to limit the time for sending it. Where
  the system does not take all of a command, that limit holds, or else that of the reply (TLS has a buffer of its own).
- They tell whether they can be used again, by what the operating system knows. redis-py's asynchronous connections
  know a lost connection only after the event loop has read from it.
"""

from __future__ import annotations

import select
from contextlib import suppress
from typing import Any, NamedTuple

from redis import connection as sync_connection
from redis import sentinel as sync_sentinel
from redis.asyncio import connection as async_connection
from redis.asyncio import sentinel as async_sentinel
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.redis_errors import refusal_code

DEMOTED = "this server is now a replica and accepts no writes; its connection was dropped"
MAX_CLIENTS = "max number of clients reached"


class NotConnected(RedisConnectionError):
    """No connection could be opened, so the command was not sent."""


class NoFreeConnection(NotConnected):
    """All connections that a client may open were in use for as long as the caller waits."""


class PrimaryDemoted(RedisConnectionError):
    """The server is a replica. It executed nothing, and its connection was dropped."""


class SlotMoved(PrimaryDemoted):
    """The queue's slot has another owner. The node executed nothing, and its connection was dropped."""


class PoolClasses(NamedTuple):
    """The classes that a client's pool is made of. redis-py's two families of them have no types in common."""

    pool: Any
    tcp: Any
    tls: Any
    unix: Any
    sentinel_pool: Any
    sentinel_tcp: Any
    sentinel_tls: Any
    cluster_pool: Any
    cluster_tcp: Any
    cluster_tls: Any


def no_free_connection(max_connections: int, waited_s: float) -> NoFreeConnection:
    """Return the error for a caller that got no connection in time."""
    return NoFreeConnection(
        f"all {max_connections} connections (COPYTRADE_REDIS_CONNECTIONS) were in use for {waited_s:g} s"
    )


def is_connect_failure(error: RedisError) -> bool:
    """Return whether an error of connecting says that no server took the connection; else a server refused it."""
    return isinstance(error, RedisConnectionError | RedisTimeoutError) and not isinstance(error, AuthenticationError)


def _translated(error: RedisError) -> RedisError | None:
    """Return the error to raise after closing the connection; None if this reply leaves the connection usable."""
    if isinstance(error, ResponseError) and refusal_code(error) == "READONLY":
        return PrimaryDemoted(DEMOTED)
    return NotConnected(MAX_CLIENTS) if str(error) == MAX_CLIENTS else None


def _is_readable(socket: Any) -> bool:
    """Return whether there is something to read from a socket, or its end was reached."""
    if socket is None or socket.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows, where `select` knows no limit of 1024
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _AsyncMixin:
    _reader: Any
    _writer: Any

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except (ResponseError, RedisConnectionError) as exc:
            error = _translated(exc)
            if error is None:
                raise
            self.close_now()
            raise error from exc

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        writer = self._writer
        if writer is None or writer.transport.is_closing() or isinstance(command, str | bytes):
            await super().send_packed_command(command, check_health)  # type: ignore[misc]  # a mixin
            return
        writer.writelines(command)
        if writer.transport.get_write_buffer_size():
            await super().send_packed_command([], check_health=False)  # type: ignore[misc]  # waits for the buffer

    @property
    def usable(self) -> bool:
        """Whether this idle connection can be used: it is open, and nothing has been received that nobody asked for."""
        if self._writer is None or self._writer.transport.is_closing():
            return False
        if self._reader.at_eof() or not self._socket_is_empty():  # type: ignore[attr-defined]
            return False
        return not _is_readable(self._writer.get_extra_info("socket"))

    def close_now(self) -> None:
        """Close the connection without waiting, also after its event loop was closed."""
        self._parser.on_disconnect()  # type: ignore[attr-defined]
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            return
        try:
            writer.close()
        except RuntimeError:  # the loop is closed, and would have to call this
            transport = getattr(getattr(writer.transport, "_ssl_protocol", None), "_transport", writer.transport)
            with suppress(AttributeError, RuntimeError):
                transport._call_connection_lost(None)  # noqa: SLF001 - asyncio has no public way


class AsyncTcp(_AsyncMixin, async_connection.Connection):
    """A connection over TCP."""


class AsyncTls(_AsyncMixin, async_connection.SSLConnection):
    """A connection over TLS."""


class AsyncUnix(_AsyncMixin, async_connection.UnixDomainSocketConnection):
    """A connection over a socket file."""


class AsyncSentinelTcp(async_sentinel.SentinelManagedConnection, AsyncTcp):
    """A connection to the primary, over TCP."""


class AsyncSentinelTls(async_sentinel.SentinelManagedConnection, AsyncTls):
    """A connection to the primary, over TLS."""


class _SyncMixin:
    _sock: Any

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # a mixin
        except (ResponseError, RedisConnectionError) as exc:
            error = _translated(exc)
            if error is None:
                raise
            self.close_now()
            raise error from exc

    @property
    def usable(self) -> bool:
        """Whether this idle connection can be used: it is open, and nothing has been received that nobody asked for."""
        try:
            return self._sock is not None and not self.can_read()  # type: ignore[attr-defined]
        except (RedisConnectionError, RedisTimeoutError, OSError):
            return False

    def close_now(self) -> None:
        """Close the connection."""
        self.disconnect()  # type: ignore[attr-defined]


class SyncTcp(_SyncMixin, sync_connection.Connection):
    """A connection over TCP."""


class SyncTls(_SyncMixin, sync_connection.SSLConnection):
    """A connection over TLS."""


class SyncUnix(_SyncMixin, sync_connection.UnixDomainSocketConnection):
    """A connection over a socket file."""


class SyncSentinelTcp(sync_sentinel.SentinelManagedConnection, SyncTcp):
    """A connection to the primary, over TCP."""


class SyncSentinelTls(sync_sentinel.SentinelManagedConnection, SyncTls):
    """A connection to the primary, over TLS."""
