"""Opening a Redis client from a DSN: schemes, time-outs, TLS and Sentinel."""

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
from producers.settings import mask_password
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
"""The options that may follow the `?` of a DSN. Others of redis-py would retry commands, or change replies."""

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Detects a vanished peer after 30 s of silence, on systems that have these socket options."""

Client = TypeVar("Client", bound="Redis | SyncRedis")


def open_redis(dsn: str, client: type[Client], *, timeout_s: float, wait_s: float = 0.0) -> Client:
    """Return a client for a DSN. It connects at its first command, and retries no command by itself.

    Args:
        dsn: redis://, rediss://, unix://, or sentinel://[user:password@]host:port,host:port/master[/db], with
            `OPTIONS`.
        client: the class of the client: `redis.asyncio.Redis`, `redis.Redis` or a subclass.
        timeout_s: limit for connecting, and for each reply. Sentinels share it.
        wait_s: how long `run_plan` retries on this client while Redis is away.

    Raises:
        SettingsError: the DSN is malformed, or a file that it names cannot be used.
    """
    scheme = dsn.partition("://")[0]
    if scheme not in SCHEMES:
        raise _settings_error(f"must start with {'://, '.join(SCHEMES)}://", dsn)
    try:
        target = _parse(dsn)
    except _InvalidDsn as exc:
        problem = str(exc)
    except (ValueError, TypeError) as exc:
        # Leave out `exc`, which may quote a part of the password. The error is raised below, so it is not chained.
        problem = f"cannot be read ({type(exc).__name__})"
    else:
        pool = _make_pool(target, timeout_s, SYNC if issubclass(client, SyncRedis) else ASYNC)
        pool.wait_s = wait_s
        return cast("Client", client.from_pool(pool))
    raise _settings_error(problem, dsn)


def _settings_error(problem: str, dsn: str) -> SettingsError:
    return SettingsError(f"COPYTRADE_REDIS_DSN: {problem}; got {mask_password(dsn)!r}")


class _InvalidDsn(ValueError):
    """A malformed DSN. The message quotes nothing of it but option names."""


@dataclass(frozen=True, slots=True)
class _Target:
    """The parts of a DSN.

    Attributes:
        scheme: its scheme.
        hosts: the server, or all of the sentinels, as (host, port).
        path: the socket file.
        master: the name of the primary that the sentinels watch.
        server: connection options of the server: database, credentials, TLS.
        sentinel: connection options of the sentinels.
        server_tls: whether the server uses TLS.
    """

    scheme: str
    hosts: list[tuple[str, int]]
    path: str
    master: str
    server: dict[str, Any]
    sentinel: dict[str, Any]
    server_tls: bool


def _parse(dsn: str) -> _Target:
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(OPTIONS[parts.scheme]))
    if unknown:
        raise _InvalidDsn(f"{', '.join(unknown)}: no such option; there are {', '.join(OPTIONS[parts.scheme])}")
    credentials, _, netloc = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    server: dict[str, Any] = {
        "username": unquote(username) or options.get("username") or None,
        "password": unquote(password) or options.get("password") or None,
        "client_name": options.get("client_name") or None,
    }
    via_sentinel = parts.scheme == "sentinel"
    master, _, database = parts.path.strip("/").partition("/") if via_sentinel else ("", "", parts.path.strip("/"))
    if parts.scheme == "unix":
        database = ""
    server["db"] = int(options.get("db") or database or 0)
    server_tls = parts.scheme == "rediss" or (via_sentinel and _parse_bool(options, "tls"))
    sentinel: dict[str, Any] = {}
    if via_sentinel:
        if not netloc or not master:
            raise _InvalidDsn("a sentinel DSN needs host:port,host:port/master")
        sentinel = {
            "username": options.get("sentinel_username") or None,
            "password": options.get("sentinel_password") or None,
        }
        if _parse_bool(options, "sentinel_tls", default=server_tls):
            sentinel |= {"ssl": True, **_tls_options(options)}
        elif not server_tls and options.keys() & set(TLS_OPTIONS):
            raise _InvalidDsn("options that begin with ssl_ need tls=true")
    if server_tls:
        server |= _tls_options(options)
    default_port = DEFAULT_SENTINEL_PORT if via_sentinel else 6379
    hosts = [] if parts.scheme == "unix" else [_parse_host(text, default_port) for text in netloc.split(",")]
    if len(hosts) > 1 and not via_sentinel:
        raise _InvalidDsn("several hosts need sentinel://host:port,host:port/master")
    return _Target(parts.scheme, hosts, unquote(parts.path), unquote(master), server, sentinel, server_tls)


def _parse_host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or default_port


def _parse_bool(options: dict[str, str], name: str, *, default: bool = False) -> bool:
    text = options.get(name, "").lower()
    if text not in ("", "true", "yes", "1", "false", "no", "0"):
        raise _InvalidDsn(f"{name}: must be true or false")
    return text in ("true", "yes", "1") if text else default


def _tls_options(options: dict[str, str]) -> dict[str, Any]:
    """Return redis-py's options for TLS. The host name is checked by default, unlike in redis-py 5."""
    checked = options.get("ssl_cert_reqs", "required")
    if checked not in ("required", "optional", "none"):
        raise _InvalidDsn("ssl_cert_reqs: must be required, optional or none")
    tls: dict[str, Any] = {name: options[name] for name in TLS_OPTIONS[:3] if options.get(name)}
    tls["ssl_cert_reqs"] = checked
    tls["ssl_check_hostname"] = _parse_bool(options, "ssl_check_hostname", default=checked != "none")
    try:
        RedisSSLContext(**{name.removeprefix("ssl_"): value for name, value in tls.items()}).get()
    except (OSError, ValueError, RedisError) as exc:
        files = ", ".join(f"{name}={tls[name]}" for name in TLS_OPTIONS[:3] if name in tls) or "no files given"
        raise _InvalidDsn(f"TLS cannot be set up ({type(exc).__name__}: {exc}; {files})") from None
    return tls


def _make_pool(target: _Target, timeout_s: float, classes: ConnectionClasses) -> Any:
    # No library name: older servers, and users with a narrow ACL, refuse CLIENT SETINFO.
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
        kind = classes.tls if target.server_tls else classes.tcp
        return classes.pool(connection_class=kind, host=host, port=port, **target.server, **options)
    share_s = timeout_s / len(target.hosts)
    sentinel_options = options | {"socket_timeout": share_s, "socket_connect_timeout": share_s} | target.sentinel
    sentinels = classes.sentinels(target.hosts, sentinel_kwargs=sentinel_options)
    connection_class = classes.sentinel_tls if target.server_tls else classes.sentinel_tcp
    return classes.sentinel_pool(
        target.master, sentinels, connection_class=connection_class, **target.server, **options
    )
