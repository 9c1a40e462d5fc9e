"""The pool of connections of one client to the owner of a slot of a Redis Cluster, for redis.Redis."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.connections import (
    NotConnected,
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


class SyncClusterPool(SyncPool):
    """The connections of one client, to the owner of the queue's slot. It does what `ClusterLoopPool` does."""

    def __init__(
        self, tag: str, nodes: list[Address], node_class: Any, node_options: dict[str, Any], **options: Any
    ) -> None:
        """Begin with these nodes, which connections of `node_class` with `node_options` ask for the owner."""
        self.owner = SlotOwner(tag, nodes)
        self._node_class, self._node_options = node_class, node_options
        super().__init__(**options)
        self.connection_kwargs["cluster"] = weakref.proxy(self)

    def reset(self) -> None:
        """Forget all connections, and a search of the process that this one was forked from."""
        self._searching = threading.Lock()
        super().reset()

    def find_owner(self) -> Address:
        """Return the owner's host and port. Threads search one after the other, and share what is found.

        Raises:
            NotConnected: none of the nodes that were asked knows it.
            AuthenticationError: a node rejected the credentials.
            ResponseError: a node does not say who it is.
        """
        with self._searching:
            known = self.owner.address
            return known if known is not None and self.owner.is_confirmed else self._find()

    def _find(self) -> Address:
        before, failure = self.owner.address, None
        for node in self.owner.nodes_to_ask():
            try:
                owner = self.owner.learn(self._ask(node), node)
            except (RedisConnectionError, RedisTimeoutError, OSError) as exc:
                if isinstance(exc, AuthenticationError):
                    raise
                failure = exc
                continue
            if owner is not None:
                if owner != before:
                    self.disconnect(inuse_connections=False)
                return owner
        raise NotConnected(str(failure) if failure else self.owner.unknown) from failure

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
        is_current = self.owner.address == (connection.host, connection.port)
        return is_current and bool(super().owns_connection(connection))


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
        except (RedisConnectionError, RedisTimeoutError):
            self._cluster.owner.doubt()
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
