"""Opening a client of a Redis Cluster from a DSN, and the names of its keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from producers import SettingsError
from producers.transport.clients import keyspace_of
from producers.transport.connections import AsyncTls, SyncTls
from producers.transport.dsn import open_redis

CLIENTS = pytest.mark.parametrize("client", [Redis, SyncRedis], ids=["asynchronous", "synchronous"])


def pool_of(dsn: str, client: Any = SyncRedis, **options: Any) -> Any:
    """Return the pool of a client; that of the running event loop."""
    pool: Any = open_redis(dsn, client, timeout_s=3, **options).connection_pool
    return pool.current() if client is Redis else pool


@CLIENTS
@pytest.mark.parametrize(
    ("hosts", "asked"),
    [
        ("a:7000", (("a", 7000),)),
        ("a", (("a", 6379),)),
        ("a:7000,b,10.0.0.3:7002", (("a", 7000), ("b", 6379), ("10.0.0.3", 7002))),
        ("[::1]:7000,[::1]", (("::1", 7000), ("::1", 6379))),
        ("a:7000/", (("a", 7000),)),
        ("a:7000/0", (("a", 7000),)),
    ],
)
async def test_a_dsn_names_nodes_that_are_asked_in_turn(hosts: str, asked: tuple[object, ...], client: Any) -> None:
    """One is enough. A port left out is 6379."""
    assert pool_of(f"redis+cluster://{hosts}", client).owner.nodes_to_ask() == asked


@CLIENTS
async def test_user_password_and_tls_are_those_of_all_nodes(client: Any) -> None:
    """Percent-escapes are decoded. The name in the certificate is checked, unlike in redis-py."""
    pool = pool_of("redis+cluster://worker:p%40ss@a,b?tls=true&client_name=us", client)

    for options in (pool.connection_kwargs, pool._node_options):
        assert (options["username"], options["password"]) == ("worker", "p@ss")
        assert (options["db"], options["client_name"]) == (0, "us")
        assert options["ssl_check_hostname"] is True
    assert issubclass(pool.connection_class, AsyncTls | SyncTls)
    assert issubclass(pool._node_class, AsyncTls | SyncTls)


@CLIENTS
async def test_the_nodes_of_a_search_share_the_time_out(client: Any) -> None:
    """Three that hang must not take three times as long as one server."""
    options = pool_of("redis+cluster://a,b,c,d", client)._node_options

    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1, 1)


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("redis+cluster://a/1", "a cluster has only database 0; COPYTRADE_KEYSPACE keeps several queues apart"),
        ("redis+cluster://a/queue", "must have a number as its database, such as /0"),
        ("redis+cluster://a?db=0", "db: no such option; there are client_name, tls, ssl_ca_certs"),
        ("redis+cluster://a?ssl_ca_certs=ca.pem", "options that begin with ssl_ need tls=true"),
        ("redis+cluster://a?ssl_check_hostname=false&tls=false", "options that begin with ssl_ need tls=true"),
        ("redis+cluster://a?tls=perhaps", "tls: must be true or false"),
        ("redis+cluster://a?tls=true&ssl_ca_certs=/nowhere.pem", "TLS cannot be set up"),
        ("redis+cluster://a?sentinel_password=x", "sentinel_password: no such option"),
        ("redis+cluster://a,b:port", "cannot be read (ValueError)"),
        ("redis+cluster://a:99999", "cannot be read (ValueError)"),
        ("redis+cluster://[a", "cannot be read (ValueError)"),
        ("redis+cluster:///a", "must have a number as its database"),
        ("rediss+cluster://a", "TLS of a cluster is an option: redis+cluster://host:6379,host:6379?tls=true"),
        ("redis+cluster://", "must name nodes of the cluster: redis+cluster://host:6379,host:6379"),
        ("redis+cluster://user:hush@?tls=true", "must name nodes of the cluster"),
        ("redis+cluster://a,,b", "must name nodes of the cluster"),
        ("redis+cluster://:7000", "must name nodes of the cluster"),
        ("redis-cluster://a", "must start with "),
        ("redis+cluster:a", "must start with "),
        ("redis://a,b", "or redis+cluster://host:port,..."),
    ],
)
def test_what_is_wrong_with_the_dsn_of_a_cluster_is_named(dsn: str, says: str) -> None:
    """A database, an option of another scheme, TLS that is not on, or a host that cannot be read."""
    with pytest.raises(SettingsError, match=f"^COPYTRADE_REDIS_DSN: .*{re.escape(says)}"):
        pool_of(dsn)


@CLIENTS
@pytest.mark.parametrize(
    ("dsn", "keyspace", "tag"),
    [
        ("redis+cluster://a", None, "{copytrade}"),
        ("redis+cluster://a", "eu-1", "{eu-1}"),
        ("redis://a", None, ""),
        ("redis://a", "eu-1", "{eu-1}"),
        ("sentinel://a/main", "eu-1", "{eu-1}"),
    ],
)
async def test_keys_have_a_tag_in_a_cluster_or_if_their_keyspace_has_a_name(
    dsn: str, keyspace: str | None, tag: str, client: Any
) -> None:
    """A queue in a cluster is in one slot, and several queues may share a Redis."""
    opened: Any = open_redis(dsn, client, timeout_s=1, keyspace=keyspace)

    assert keyspace_of(opened).tag == tag


@pytest.mark.parametrize("keyspace", ["", "a b", "{a}", "a}", "a:b", "é", "a" * 33, "a\n"])
def test_a_keyspace_that_cannot_be_a_part_of_a_key_is_refused(keyspace: str) -> None:
    """Braces would give the keys another slot."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_KEYSPACE: must be 1 to 32 letters, digits"):
        pool_of("redis+cluster://a", keyspace=keyspace)
