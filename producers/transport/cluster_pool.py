"""The pool of connections of one event loop to the owner of a slot of a Redis Cluster."""

from __future__ import annotations

import weakref
from typing import Any

from redis.exceptions import RedisError

from producers.transport.connections import AsyncTcp, AsyncTls, SlotMoved
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
            ResponseError: a node refuses to say, such as a server that is in no cluster.
        """
        return self.owner.address or await self._search.join(self._find)

    async def _find(self) -> Address:
        failures: list[Exception] = []
        for node in self.owner.nodes_to_ask():
            try:
                owner = self.owner.learn(await self._ask(node), node)
            except (RedisError, OSError) as exc:
                failures.append(exc)
                continue
            if owner is not None:
                return owner
        raise self.owner.not_found(failures)

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
        return bool(connection.is_current)


class _Following:
    """A connection that leads to the owner of the slot, and tells its pool when that may have changed."""

    host: str
    port: int

    def __init__(self, cluster: ClusterLoopPool, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(**options)

    @property
    def is_current(self) -> bool:
        """Whether this connection leads to the owner, as far as known."""
        return self._cluster.owner.address == (self.host, self.port)

    async def connect(self) -> None:
        """Connect to the owner."""
        if self.is_connected:  # type: ignore[attr-defined]  # a mixin, here and below
            return
        self.host, self.port = await self._cluster.find_owner()
        try:
            await super().connect()  # type: ignore[misc]
        except RedisError as exc:
            self._cluster.owner.has_moved(exc, (self.host, self.port))
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
