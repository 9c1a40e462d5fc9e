"""The pool of connections of one client to the owner of a slot of a Redis Cluster, for redis.Redis."""

from __future__ import annotations

import weakref
from typing import Any

from redis.exceptions import RedisError

from producers.transport.connections import (
    PoolClasses,
    SlotMoved,
    SyncSentinelTcp,
    SyncSentinelTls,
    SyncTcp,
    SyncTls,
    SyncUnix,
)
from producers.transport.slot_owner import Address, SlotOwner
from producers.transport.sync_pools import SyncPool, SyncSentinelPool
from producers.transport.thread_search import SharedThreadSearch


class SyncClusterPool(SyncPool):
    """The connections of one client, to the owner of the queue's slot. It does what `ClusterLoopPool` does."""

    def __init__(
        self, tag: str, nodes: list[Address], node_class: Any, node_options: dict[str, Any], **options: Any
    ) -> None:
        """Begin with these nodes, which connections of `node_class` with `node_options` ask for the owner."""
        self.owner = SlotOwner(tag, nodes)
        self._node_class, self._node_options = node_class, node_options
        self._search = SharedThreadSearch()
        super().__init__(**options)
        self.connection_kwargs["cluster"] = weakref.proxy(self)

    def find_owner(self) -> Address:
        """Return the owner's host and port. Threads share one search.

        Raises:
            NotConnected: none of the nodes that were asked knows it.
            AuthenticationError: a node rejected the credentials.
            ResponseError: a node refuses to say, such as a server that is in no cluster.
        """
        return self.owner.address or self._search.join(self._find)

    def _find(self) -> Address:
        failures: list[Exception] = []
        for node in self.owner.nodes_to_ask():
            try:
                owner = self.owner.learn(self._ask(node), node)
            except (RedisError, OSError) as exc:
                failures.append(exc)
                continue
            if owner is not None:
                return owner
        raise self.owner.not_found(failures)

    def _ask(self, node: Address) -> Any:
        host, port = node
        connection = self._node_class(host=host, port=port, **self._node_options)
        try:
            connection.connect()
            connection.send_command("CLUSTER", "SLOTS")
            return connection.read_response()
        finally:
            connection.close_now()

    def owns_connection(self, connection: Any) -> bool:
        """Return whether a connection leads to the owner, and was opened by this process."""
        return self.owner.address == (connection.host, connection.port) and bool(super().owns_connection(connection))


class _Following:
    """A connection that leads to the owner of the slot, and tells its pool when that may have changed."""

    host: str
    port: int

    def __init__(self, cluster: SyncClusterPool, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(**options)

    def connect(self) -> None:
        """Connect to the owner."""
        if self._sock is not None:  # type: ignore[attr-defined]  # a mixin, here and below
            return
        self.host, self.port = self._cluster.find_owner()
        try:
            super().connect()  # type: ignore[misc]
        except RedisError as exc:
            self._cluster.owner.has_moved(exc, (self.host, self.port))
            raise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply. One that names another owner closes the connection.

        Raises:
            SlotMoved: the node executed nothing.
        """
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except RedisError as exc:
            if not self._cluster.owner.has_moved(exc, (self.host, self.port)):
                raise
            self.close_now()  # type: ignore[attr-defined]
            raise SlotMoved(str(exc)) from exc


class SyncClusterTcp(_Following, SyncTcp):
    """A connection to the owner, over TCP."""


class SyncClusterTls(_Following, SyncTls):
    """A connection to the owner, over TLS."""


SYNC = PoolClasses(
    *(SyncPool, SyncTcp, SyncTls, SyncUnix),
    *(SyncSentinelPool, SyncSentinelTcp, SyncSentinelTls),
    *(SyncClusterPool, SyncClusterTcp, SyncClusterTls),
)
