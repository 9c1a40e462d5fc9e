"""Opening Redis from a DSN."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from producers import SettingsError
from producers.connection import open_redis


def opened(dsn: str, *, timeout_s: float = 3) -> Redis:
    """A client that has not connected."""
    client: Redis = open_redis(dsn, Redis, timeout_s=timeout_s)
    return client


async def test_a_dsn_says_where_who_and_which_database() -> None:
    """Percent signs in a password are decoded."""
    options = opened("redis://worker:p%40ss@cache:6380/2").connection_pool.connection_kwargs

    assert (options["host"], options["port"], options["db"]) == ("cache", 6380, 2)
    assert (options["username"], options["password"]) == ("worker", "p@ss")


async def test_time_outs_hold_for_connecting_and_for_answers() -> None:
    """redis-py has none by default, and would wait for ever."""
    options = opened("redis://cache", timeout_s=0.7).connection_pool.connection_kwargs

    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.7, 0.7)


async def test_rediss_is_tls() -> None:
    """With the certificate checked, which is redis-py's default."""
    assert issubclass(opened("rediss://cache:6380/0").connection_pool.connection_class, SSLConnection)


async def test_unix_is_a_socket_file() -> None:
    """It knows no TCP keep-alive."""
    pool = opened("unix:///run/redis.sock?db=1").connection_pool

    assert issubclass(pool.connection_class, UnixDomainSocketConnection)
    assert (pool.connection_kwargs["path"], pool.connection_kwargs["db"]) == ("/run/redis.sock", 1)


async def test_sentinels_are_asked_for_their_master() -> None:
    """Several of them, with and without ports; the credentials are the master's."""
    pool = opened("sentinel://worker:p%40ss@a:1,b/main/3").connection_pool

    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "main"
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(options["host"], options["port"]) for options in asked] == [("a", 1), ("b", 26379)]
    assert pool.connection_kwargs["db"] == 3
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("worker", "p@ss")


async def test_the_client_is_of_the_class_that_was_asked_for() -> None:
    """A worker needs arq's."""
    for dsn in ("redis://cache", "sentinel://a/main"):
        assert type(open_redis(dsn, ArqRedis, timeout_s=1)) is ArqRedis


@pytest.mark.parametrize(
    "dsn",
    [
        "cache:6379",
        "http://cache",
        "redis://cache:port/0",
        "redis://cache:99999999/0",
        "sentinel://a:26379",
        "sentinel:///main",
        "sentinel://a:port/main",
        "sentinel://a/main/database",
        "",
    ],
)
def test_a_dsn_that_cannot_be_read_is_refused_by_the_name_of_its_variable(dsn: str) -> None:
    """Before anything connects."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: ") as caught:
        opened(dsn)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["http://user:hush@cache", "redis://user:hush@cache:port", "sentinel://u:hush@a"])
def test_a_refused_dsn_does_not_show_its_password(dsn: str) -> None:
    """The message is for a log."""
    with pytest.raises(SettingsError) as caught:
        opened(dsn)

    assert "hush" not in str(caught.value)
