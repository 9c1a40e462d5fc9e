"""The pool of an asynchronous client: one pool for each event loop that uses the client."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from redis._parsers import Encoder

from producers.contract.keyspace import Keyspace
from producers.settings import DEFAULT_CONNECTIONS
from producers.transport.cluster_pool import AsyncClusterTcp, AsyncClusterTls, ClusterLoopPool
from producers.transport.connections import (
    AsyncSentinelTcp,
    AsyncSentinelTls,
    AsyncTcp,
    AsyncTls,
    AsyncUnix,
    PoolClasses,
)
from producers.transport.loop_pool import LoopPool, SentinelLoopPool
from producers.transport.loops import PerLoop


class LoopPools:
    """The pool of a client: one pool for each event loop that uses it.

    It has what redis-py's clients use of a pool.

    Attributes:
        keyspace: the names of the keys that its client uses.
    """

    keyspace: Keyspace

    pool_class: ClassVar[type[LoopPool]] = LoopPool

    def __init__(
        self,
        *args: Any,
        connection_class: Any,
        max_connections: int = DEFAULT_CONNECTIONS,
        wait_s: float = 0.0,
        **connection_kwargs: Any,
    ) -> None:
        self.connection_class = connection_class
        self.connection_kwargs = connection_kwargs
        self.max_connections = max_connections
        self.wait_s = wait_s
        self._args = args
        # Bind late: the pool of a client of sentinels has methods of its own.
        self._pools: PerLoop[LoopPool] = PerLoop(
            self._make, close=lambda pool: pool.disconnect(), abandon=lambda pool: pool.abandon()
        )

    def current(self) -> LoopPool:
        """Return the pool of the running event loop.

        Raises:
            WrongEventLoop: another event loop is using this client.
        """
        return self._pools.current()

    @property
    def blocking_share(self) -> threading.Semaphore:
        """How many connections may block at once, see `producers.transport.blocking`."""
        return self.current().blocking_share

    async def get_connection(self, *_: object, **__: object) -> Any:
        """Return a connected connection, as `LoopPool.get_connection` does."""
        return await self.current().get_connection()

    async def release(self, connection: Any) -> None:
        """Give a connection back to its pool, which need not be the current one any more."""
        if (pool := connection.pool_in_use) is not None:
            await pool.release(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect the idle connections of the running event loop, or all of them."""
        if inuse_connections:
            await self._pools.close()
        else:
            await self.current().disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Disconnect all connections of the running event loop."""
        await self.disconnect()

    def get_encoder(self) -> Any:
        """Return what encodes arguments."""
        return Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call]

    def _make(self) -> LoopPool:
        return self.pool_class(
            *self._args,
            connection_class=self.connection_class,
            max_connections=self.max_connections,
            wait_s=self.wait_s,
            **self.connection_kwargs,
        )


class SentinelLoopPools(LoopPools):
    """The pool of a client that asks sentinels for the primary."""

    pool_class = SentinelLoopPool


class ClusterLoopPools(LoopPools):
    """The pool of a client that asks the nodes of a cluster for the owner of its slot."""

    pool_class = ClusterLoopPool


ASYNC = PoolClasses(
    *(LoopPools, AsyncTcp, AsyncTls, AsyncUnix),
    *(SentinelLoopPools, AsyncSentinelTcp, AsyncSentinelTls),
    *(ClusterLoopPools, AsyncClusterTcp, AsyncClusterTls),
)
