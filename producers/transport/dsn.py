"""Opening a Redis client from a DSN: schemes, time-outs, TLS, Sentinel, Cluster, and the names of the queue's keys."""

from __future__ import annotations

import re
import socket
from typing import Any, TypeVar, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis

from producers.contract.keyspace import Keyspace
from producers.errors import SettingsError
from producers.settings import DEFAULT_CONNECTIONS, MIN_CONNECTIONS
from producers.transport.connections import PoolClasses
from producers.transport.dsn_parser import InvalidDsn, Target, parse_dsn
from producers.transport.pools import ASYNC
from producers.transport.slot_owner import ASKED_NODES
from producers.transport.sync_cluster_pool import SYNC

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Detects a vanished peer after 30 s of silence, on systems that have these socket options."""

DEFAULT_KEYSPACE = "copytrade"

_keyspace_name = re.compile(r"[A-Za-z0-9._-]{1,32}")

Client = TypeVar("Client", bound="Redis | SyncRedis")


def open_redis(
    dsn: str,
    client: type[Client],
    *,
    timeout_s: float,
    wait_s: float = 0.0,
    max_connections: int = DEFAULT_CONNECTIONS,
    keyspace: str | Keyspace | None = None,
) -> Client:
    """Return a client for a DSN. It connects at its first command, and retries no command by itself.

    Args:
        dsn: redis://, rediss://, unix://, sentinel://[user:password@]host:port,host:port/master[/db], or
            redis+cluster://[user:password@]host:port,host:port, with the options of `producers.transport.dsn_parser`.
        client: the class of the client: `redis.asyncio.Redis`, `redis.Redis` or a subclass.
        timeout_s: limit for waiting for a free connection, for connecting, and for each reply. Sentinels share it.
        wait_s: how long `run_plan` retries on this client while Redis is away, and waits for a free connection if
            that is more than `timeout_s`.
        max_connections: how many connections the client opens at most; an asynchronous one, for each event loop.
        keyspace: the name of the queue, when several share a Redis; in a cluster "copytrade" by default. Or its keys.

    Raises:
        SettingsError: the DSN is malformed, a file that it names cannot be used, or there are too few connections.
    """
    if max_connections < MIN_CONNECTIONS:
        raise SettingsError(f"COPYTRADE_REDIS_CONNECTIONS: must be at least {MIN_CONNECTIONS}; got {max_connections}")
    try:
        target = parse_dsn(dsn)
    except InvalidDsn as exc:
        raise SettingsError(f"COPYTRADE_REDIS_DSN: {exc}") from None
    classes = SYNC if issubclass(client, SyncRedis) else ASYNC
    is_cluster = target.scheme == "redis+cluster"
    keys = keyspace if isinstance(keyspace, Keyspace) else make_keyspace(keyspace, is_cluster=is_cluster)
    pool = _make_pool(target, keys, timeout_s, classes, max_connections=max_connections, wait_s=wait_s)
    pool.keyspace = keys
    return cast("Client", client.from_pool(pool))


def make_keyspace(name: str | None, *, is_cluster: bool) -> Keyspace:
    """Return the names of the keys of a queue.

    Raises:
        SettingsError: the queue's name cannot be a part of a key.
    """
    return Keyspace() if name is None and not is_cluster else Keyspace(f"{{{keyspace_name(name)}}}")


def keyspace_name(name: str | None) -> str:
    """Return the name of a queue, or the default for None.

    Raises:
        SettingsError: it cannot be a part of a key.
    """
    if name is not None and not _keyspace_name.fullmatch(name):
        raise SettingsError(f"COPYTRADE_KEYSPACE: must be 1 to 32 letters, digits, '.', '_' or '-'; got {name!r}")
    return DEFAULT_KEYSPACE if name is None else name


def _make_pool(target: Target, keys: Keyspace, timeout_s: float, classes: PoolClasses, **bounds: Any) -> Any:
    # No library name: older servers, and users with a narrow ACL, refuse CLIENT SETINFO.
    options: dict[str, Any] = {"lib_name": None, "lib_version": None}
    options |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    if target.scheme == "unix":
        return classes.pool(connection_class=classes.unix, path=target.path, **target.server, **options, **bounds)
    options["socket_keepalive"] = True
    options["socket_keepalive_options"] = {
        getattr(socket, name): seconds for name, seconds in KEEPALIVE.items() if hasattr(socket, name)
    }
    if target.scheme == "redis+cluster":
        share_s = timeout_s / ASKED_NODES
        node = options | target.server | {"socket_timeout": share_s, "socket_connect_timeout": share_s}
        kind, node_kind = (
            (classes.cluster_tls, classes.tls) if target.server_tls else (classes.cluster_tcp, classes.tcp)
        )
        options |= {"connection_class": kind, **target.server, **bounds}
        return classes.cluster_pool(keys.tag, target.hosts, node_kind, node, **options)
    if target.scheme != "sentinel":
        host, port = target.hosts[0]
        kind = classes.tls if target.server_tls else classes.tcp
        return classes.pool(connection_class=kind, host=host, port=port, **target.server, **options, **bounds)
    share_s = timeout_s / len(target.hosts)
    sentinel = options | {"socket_timeout": share_s, "socket_connect_timeout": share_s} | target.sentinel
    sentinel["connection_class"] = classes.tls if target.sentinel_tls else classes.tcp
    sentinels = [{"host": host, "port": port, **sentinel} for host, port in target.hosts]
    kind = classes.sentinel_tls if target.server_tls else classes.sentinel_tcp
    return classes.sentinel_pool(target.master, sentinels, connection_class=kind, **target.server, **options, **bounds)
