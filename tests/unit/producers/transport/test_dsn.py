"""Opening Redis from a DSN."""

from __future__ import annotations

import re
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis import Redis as PlainRedis
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from producers import SettingsError
from producers.transport.dsn import open_redis


def opened(dsn: str, *, timeout_s: float = 3) -> Redis:
    client: Redis = open_redis(dsn, Redis, timeout_s=timeout_s)
    return client


async def test_a_dsn_has_host_user_and_database() -> None:
    """Percent-escapes in the password are decoded; only `/`, `?` and `#` need them."""
    for written, password in (("p%40ss%2F%3F%23", "p@ss/?#"), ("p@s:s+[]", "p@s:s+[]")):
        options = opened(f"redis://worker:{written}@cache:6380/2").connection_pool.connection_kwargs

        assert (options["host"], options["port"], options["db"]) == ("cache", 6380, 2)
        assert (options["username"], options["password"]) == ("worker", password)


async def test_the_time_out_holds_for_connecting_and_for_replies() -> None:
    """redis-py has none by default."""
    options = opened("redis://cache", timeout_s=0.7).connection_pool.connection_kwargs

    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.7, 0.7)


def test_one_connection_is_not_enough() -> None:
    """A listener would hold it for ever. Settings that are made in Python are not checked before."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_CONNECTIONS: must be at least 2; got 1"):
        open_redis("redis://cache", Redis, timeout_s=1, max_connections=1)


async def test_rediss_is_tls_with_a_checked_certificate() -> None:
    """redis-py's TLS connection requires a valid certificate by default."""
    assert issubclass(opened("rediss://cache:6380/0").connection_pool.connection_class, SSLConnection)


async def test_unix_is_a_socket_file() -> None:
    """The database is an option, since the path is that of the socket."""
    pool = opened("unix:///run/redis.sock?db=1").connection_pool

    assert issubclass(pool.connection_class, UnixDomainSocketConnection)
    assert (pool.connection_kwargs["path"], pool.connection_kwargs["db"]) == ("/run/redis.sock", 1)


async def test_a_sentinel_dsn_names_several_sentinels_and_their_master() -> None:
    """A port left out is 26379; user, password and database are those of the master."""
    pool = opened("sentinel://worker:p%40ss@a:1,b/main/3").connection_pool.current()  # type: ignore[attr-defined]

    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "main"
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(options["host"], options["port"]) for options in asked] == [("a", 1), ("b", 26379)]
    assert pool.connection_kwargs["db"] == 3
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("worker", "p@ss")


async def test_sentinels_have_credentials_and_tls_of_their_own() -> None:
    """Neither follows from the server's, but TLS is used for both unless the DSN says otherwise."""
    dsn = "sentinel://:s3rver@a,[::1]:7/main?sentinel_username=watcher&sentinel_password=w%404tch&tls=true"
    for query, theirs in (("", True), ("&sentinel_tls=false", False)):
        pool = opened(dsn + query).connection_pool.current()  # type: ignore[attr-defined]
        assert isinstance(pool, SentinelConnectionPool)
        asked = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]

        assert issubclass(pool.connection_class, SSLConnection)
        assert pool.connection_kwargs["password"] == "s3rver"
        assert pool.connection_kwargs["ssl_check_hostname"] is True
        assert {(one.connection_kwargs["username"], one.connection_kwargs["password"]) for one in asked} == {
            ("watcher", "w@4tch")
        }
        assert {issubclass(one.connection_class, SSLConnection) for one in asked} == {theirs}
        assert asked[1].connection_kwargs["host"] == "::1"


async def test_a_client_closes_its_connections_to_sentinels() -> None:
    """They have pools of their own."""
    client = opened("sentinel://a,b/main")
    pool: Any = client.connection_pool.current()  # type: ignore[attr-defined]

    await client.aclose()

    assert [sentinel.connection_pool._closed for sentinel in pool.sentinel_manager.sentinels] == [True, True]


async def test_sentinels_share_the_time_out() -> None:
    """Three that hang must not take three times as long as one server."""
    pool = opened("sentinel://a,b,c/main", timeout_s=3).connection_pool.current()  # type: ignore[attr-defined]

    assert isinstance(pool, SentinelConnectionPool)
    assert [one.connection_pool.connection_kwargs["socket_timeout"] for one in pool.sentinel_manager.sentinels] == [
        1
    ] * 3


async def test_a_vanished_peer_is_noticed_by_keep_alive() -> None:
    """The system's default is two hours."""
    options = opened("redis://cache").connection_pool.connection_kwargs

    assert options["socket_keepalive"] is True
    assert 15 in options["socket_keepalive_options"].values()


async def test_redis_py_does_not_retry_by_itself() -> None:
    """Only the caller knows which calls are idempotent."""
    for dsn in ("redis://cache", "rediss://cache", "unix:///run/redis.sock"):
        for client in (Redis, PlainRedis):
            pool: Any = open_redis(dsn, client, timeout_s=1).connection_pool
            connection = pool.connection_class(**pool.connection_kwargs)
            assert connection.retry._retries == 0
            assert connection.retry_on_error == []


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("redis://cache?retry_on_timeout=true", "retry_on_timeout: no such option; there are db, client_name"),
        ("redis://cache?decode_responses=true", "decode_responses: no such option"),
        ("redis://cache?ssl_ca_certs=ca.pem", "ssl_ca_certs: no such option"),
        ("rediss://cache?ssl_ca_cert=ca.pem", "there is an unknown option, similar to ssl_ca_certs; there are"),
        ("unix:///s?password=a&b=c", "there is an unknown option ('&' in a value must be percent-encoded: %26)"),
        ("rediss://cache?ssl_cert_reqs=maybe", "ssl_cert_reqs: must be required, optional or none"),
        ("rediss://cache?ssl_check_hostname=perhaps", "ssl_check_hostname: must be true or false"),
        ("sentinel://a/main?ssl_ca_certs=ca.pem", "options that begin with ssl_ need tls=true"),
        ("sentinel://a/main?tls=perhaps", "tls: must be true or false"),
        ("sentinel://a", "needs host:port,host:port/master"),
        ("redis://a,b", "several hosts need sentinel://"),
        ("redis://:a?b@cache", "'?' before the last '@': in a user or password, percent-encode it: %3F"),
        ("redis://:a#b@cache", "'#' before the last '@': in a user or password, percent-encode it: %23"),
        ("redis://:a/b@cache", "'/' before the last '@': in a user or password, percent-encode it: %2F"),
        ("unix:///s?password=a@b", "'/' before the last '@': in a user or password, percent-encode it: %2F (or, if"),
        ("unix:///s?password=a#b", "'#' must be percent-encoded: %23"),
        ("redis://:a@cache/0#b", "'#' must be percent-encoded: %23"),
        ("unix:///s?password=a+b", "'+' in an option must be percent-encoded: %2B (and a space: %20)"),
        ("redis://:a b@cache", "white space and control characters must be percent-encoded: %20"),
        ("redis://:a%FF@cache", "cannot be read (UnicodeDecodeError): check its host, its port"),
        ("redis://cache/abc", "must have a number as its database, such as /0"),
        ("redis://cache?db=one", "must have a number as its database, such as /0"),
    ],
)
def test_what_is_wrong_with_a_dsn_is_named(dsn: str, says: str) -> None:
    """A misspelt option, a wrong value, a missing part, or a character that would end a password early."""
    with pytest.raises(SettingsError, match=f"^COPYTRADE_REDIS_DSN: .*{re.escape(says)}"):
        opened(dsn)


async def test_the_client_is_of_the_class_that_was_asked_for() -> None:
    """A worker needs arq's client, with or without sentinels."""
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
        "redis://cache/database",
        "redis://[cache",
        "",
    ],
)
def test_a_malformed_dsn_is_rejected_by_the_name_of_its_variable(dsn: str) -> None:
    """The error is one line, whether scheme, host, port, master or database is wrong."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: ") as caught:
        opened(dsn)

    assert "\n" not in str(caught.value)


OTHER_PLACES = [
    "sentinel://a?sentinel_password=hush",
    "sentinel://:x@a/main?SENTINEL_PASSWORD=hush",
    "unix:///run/redis.sock?db=x&password=hush",
    "redis://:h:u@s:hush@cache:port",
    "rediss://:hush@cache/0?ssl_ca_certs=/nowhere/hidden.pem",
]


@pytest.mark.parametrize(
    "dsn", ["http://user:hush@cache", "redis://user:hush@cache:port", "sentinel://u:hush@a", *OTHER_PLACES]
)
def test_a_rejected_dsn_does_not_show_its_password(dsn: str) -> None:
    """The password may be in an option, contain separators or precede the actual mistake."""
    with pytest.raises(SettingsError) as caught:
        opened(dsn)

    assert "hush" not in str(caught.value)
