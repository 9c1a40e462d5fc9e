"""The pool of connections of one event loop to the owner of a slot of a Redis Cluster."""

from __future__ import annotations

import weakref
from typing import Any

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.connections import AsyncTcp, AsyncTls, NotConnected, SlotMoved
from producers.transport.loop_pool import LoopPool, SharedSearch
from producers.transport.slot_owner import Address, SlotOwner


class ClusterLoopPool(LoopPool):
    """The connections of one event loop, to the owner of the queue's slot.

    Attributes:
        owner: what is known of it.
    """

    def __init__(
        self, tag: str, nodes: list[Address], node_class: Any, node_options: dict[str, Any], **options: Any
    ) -> None:
        """Begin with these nodes, which connections of `node_class` with `node_options` ask for the owner."""
        super().__init__(**options)
        self.connection_kwargs["cluster"] = weakref.proxy(self)
        self.owner = SlotOwner(tag, nodes)
        self._node_class, self._node_options = node_class, node_options
        self._search = SharedSearch()

    async def find_owner(self) -> Address:
        """Return the owner's host and port. Concurrent callers share one search.

        Raises:
            NotConnected: none of the nodes that were asked knows it.
            AuthenticationError: a node rejected the credentials.
            ResponseError: a node does not say who it is.
        """
        known = self.owner.address
        return known if known is not None and self.owner.is_confirmed else await self._search.join(self._find)

    async def _find(self) -> Address:
        before, failure = self.owner.address, None
        for node in self.owner.nodes_to_ask():
            try:
                owner = self.owner.learn(await self._ask(node), node)
            except (RedisConnectionError, RedisTimeoutError, OSError) as exc:
                if isinstance(exc, AuthenticationError):
                    raise
                failure = exc
                continue
            if owner is not None:
                if owner != before:
                    await self.disconnect(inuse_connections=False)
                return owner
        raise NotConnected(str(failure) if failure else self.owner.unknown) from failure

    async def _ask(self, node: Address) -> Any:
        host, port = node
        connection = self._node_class(host=host, port=port, **self._node_options)
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            connection.close_now()

    def _is_current(self, connection: Any) -> bool:
        return bool(self.owner.address == (connection.host, connection.port))


class _Following:
    """A connection that leads to the owner of the slot, and tells its pool when that may have changed."""

    host: str
    port: int

    def __init__(self, cluster: ClusterLoopPool, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(**options)

    async def connect(self) -> None:
        """Connect to the owner."""
        if self.is_connected:  # type: ignore[attr-defined]  # a mixin, here and below
            return
        self.host, self.port = await self._cluster.find_owner()
        try:
            await super().connect()  # type: ignore[misc]
        except (RedisConnectionError, RedisTimeoutError):
            self._cluster.owner.doubt()
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply. One that names another owner closes the connection.

        Raises:
            SlotMoved: the node executed nothing.
        """
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except RedisError as exc:
            if not self._cluster.owner.has_moved(exc, (self.host, self.port)):
                raise
            self.close_now()  # type: ignore[attr-defined]
            raise SlotMoved(str(exc)) from exc


class AsyncClusterTcp(_Following, AsyncTcp):
    """A connection to the owner, over TCP."""


class AsyncClusterTls(_Following, AsyncTls):
    """A connection to the owner, over TLS."""
