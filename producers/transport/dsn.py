"""Opening Redis from a DSN: one place that knows schemes, time-outs, TLS and Sentinel."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import RedisError

from producers.errors import SettingsError
from producers.settings import masked
from producers.transport.pools import ASYNC, SYNC, ConnectionClasses

SCHEMES = ("redis", "rediss", "unix", "sentinel")
DEFAULT_SENTINEL_PORT = 26379

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password", "tls", "sentinel_tls")
OPTIONS = {
    "redis": ("db", "client_name"),
    "rediss": ("db", "client_name", *TLS_OPTIONS),
    "unix": ("db", "client_name", "username", "password"),
    "sentinel": ("client_name", *SENTINEL_OPTIONS, *TLS_OPTIONS),
}
"""What may follow the `?` of a DSN. Not redis-py's others: they would repeat commands behind our back, or give replies
another form."""

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A peer that vanished is noticed after 30 s of silence, where the system can be told so."""

Client = TypeVar("Client", bound="Redis | SyncRedis")


def open_redis(dsn: str, client: type[Client], *, timeout_s: float, wait_s: float = 0.0) -> Client:
    """A client for a DSN; it connects at its first command, and repeats none by itself.

    Args:
        dsn: redis://, rediss://, unix://, or sentinel://[user:password@]host:port,host:port/master[/db], and
            `OPTIONS`.
        client: the class to make: `redis.asyncio.Redis`, `redis.Redis` or a subclass.
        timeout_s: how long connecting, and one answer, may take. Sentinels share it.
        wait_s: how long a call of a producer's waits for a Redis that is away.

    Raises:
        SettingsError: the DSN cannot be read, or a file it names cannot be used.
    """
    scheme = dsn.partition("://")[0]
    if scheme not in SCHEMES:
        raise SettingsError(f"COPYTRADE_REDIS_DSN: must start with {'://, '.join(SCHEMES)}://; got {masked(dsn)!r}")
    try:
        target = _read(dsn)
    except _InvalidDsn as exc:
        problem = f"COPYTRADE_REDIS_DSN: {exc}; got {masked(dsn)!r}"
    except (ValueError, TypeError) as exc:
        # Not from `exc`, and without its text: it may quote a part of the password.
        problem = f"COPYTRADE_REDIS_DSN: cannot be read ({type(exc).__name__}); got {masked(dsn)!r}"
    else:
        pool = _pool(target, timeout_s, SYNC if issubclass(client, SyncRedis) else ASYNC)
        pool.wait_s = wait_s
        return cast("Client", client.from_pool(pool))
    raise SettingsError(problem)


class _InvalidDsn(ValueError):
    """What is wrong with a DSN, in words that show nothing of it."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A DSN, read.

    Attributes:
        scheme: of the DSN.
        hosts: where to connect to; of sentinels, all of them.
        path: the socket file.
        master: which master to ask sentinels for.
        server: connection options of the server: database, credentials, TLS.
        sentinel: connection options of the sentinels.
        server_tls: whether the server speaks TLS.
    """

    scheme: str
    hosts: list[tuple[str, int]]
    path: str
    master: str
    server: dict[str, Any]
    sentinel: dict[str, Any]
    server_tls: bool


def _read(dsn: str) -> _Target:
    parts = urlsplit(dsn)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(given.keys() - set(OPTIONS[parts.scheme]))
    if unknown:
        raise _InvalidDsn(f"{', '.join(unknown)}: no such option; there are {', '.join(OPTIONS[parts.scheme])}")
    credentials, _, netloc = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    server: dict[str, Any] = {
        "username": unquote(username) or given.get("username") or None,
        "password": unquote(password) or given.get("password") or None,
        "client_name": given.get("client_name") or None,
    }
    via_sentinel = parts.scheme == "sentinel"
    master, _, database = parts.path.strip("/").partition("/") if via_sentinel else ("", "", parts.path.strip("/"))
    if parts.scheme == "unix":
        database = ""
    server["db"] = int(given.get("db") or database or 0)
    server_tls = parts.scheme == "rediss" or (via_sentinel and _parse_bool(given, "tls"))
    sentinel: dict[str, Any] = {}
    if via_sentinel:
        if not netloc or not master:
            raise _InvalidDsn("a sentinel DSN needs host:port,host:port/master")
        sentinel = {
            "username": given.get("sentinel_username") or None,
            "password": given.get("sentinel_password") or None,
        }
        if _parse_bool(given, "sentinel_tls", default=server_tls):
            sentinel |= {"ssl": True, **_tls(given)}
        elif not server_tls and given.keys() & set(TLS_OPTIONS):
            raise _InvalidDsn("options that begin with ssl_ need tls=true")
    if server_tls:
        server |= _tls(given)
    default_port = DEFAULT_SENTINEL_PORT if via_sentinel else 6379
    hosts = [] if parts.scheme == "unix" else [_host(one, default_port) for one in netloc.split(",")]
    if len(hosts) > 1 and not via_sentinel:
        raise _InvalidDsn("several hosts need sentinel://host:port,host:port/master")
    return _Target(parts.scheme, hosts, unquote(parts.path), unquote(master), server, sentinel, server_tls)


def _host(text: str, default_port: int) -> tuple[str, int]:
    one = urlsplit(f"//{text}")
    return unquote(one.hostname or "localhost"), one.port or default_port


def _parse_bool(given: dict[str, str], name: str, *, default: bool = False) -> bool:
    text = given.get(name, "").lower()
    if text not in ("", "true", "yes", "1", "false", "no", "0"):
        raise _InvalidDsn(f"{name}: must be true or false")
    return text in ("true", "yes", "1") if text else default


def _tls(given: dict[str, str]) -> dict[str, Any]:
    """Options for TLS. The host name is checked unless told otherwise, which redis-py 5 does not do by itself."""
    checked = given.get("ssl_cert_reqs", "required")
    if checked not in ("required", "optional", "none"):
        raise _InvalidDsn("ssl_cert_reqs: must be required, optional or none")
    options: dict[str, Any] = {name: given[name] for name in TLS_OPTIONS[:3] if given.get(name)}
    options["ssl_cert_reqs"] = checked
    options["ssl_check_hostname"] = _parse_bool(given, "ssl_check_hostname", default=checked != "none")
    try:
        RedisSSLContext(**{name.removeprefix("ssl_"): value for name, value in options.items()}).get()
    except (OSError, ValueError, RedisError) as exc:
        files = ", ".join(f"{name}={options[name]}" for name in TLS_OPTIONS[:3] if name in options) or "no files given"
        raise _InvalidDsn(f"TLS cannot be set up ({type(exc).__name__}: {exc}; {files})") from None
    return options


def _pool(target: _Target, timeout_s: float, classes: ConnectionClasses) -> Any:
    # Without the library's name: older servers and narrow users refuse CLIENT SETINFO.
    options: dict[str, Any] = {"lib_name": None, "lib_version": None}
    options |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    if target.scheme == "unix":
        return classes.pool(connection_class=classes.unix, path=target.path, **target.server, **options)
    options["socket_keepalive"] = True
    options["socket_keepalive_options"] = {
        getattr(socket, name): seconds for name, seconds in KEEPALIVE.items() if hasattr(socket, name)
    }
    if target.scheme != "sentinel":
        host, port = target.hosts[0]
        how = classes.tls if target.server_tls else classes.tcp
        return classes.pool(connection_class=how, host=host, port=port, **target.server, **options)
    share_s = timeout_s / len(target.hosts)
    asking = options | {"socket_timeout": share_s, "socket_connect_timeout": share_s} | target.sentinel
    sentinels = classes.sentinels(target.hosts, sentinel_kwargs=asking)
    how = classes.sentinel_tls if target.server_tls else classes.sentinel_tcp
    return classes.sentinel_pool(target.master, sentinels, connection_class=how, **target.server, **options)
