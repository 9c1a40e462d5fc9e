"""Opening Redis from a DSN: one place that knows schemes, time-outs and Sentinel."""

from __future__ import annotations

from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.sentinel import Sentinel as SyncSentinel

from producers.errors import SettingsError
from producers.settings import masked

SCHEMES = ("redis", "rediss", "unix", "sentinel")
DEFAULT_SENTINEL_PORT = 26379

Client = TypeVar("Client", bound="Redis | SyncRedis")


def open_redis(dsn: str, client: type[Client], *, timeout_s: float) -> Client:
    """A client for a DSN; it connects at its first command.

    Args:
        dsn: redis://, rediss://, unix://, or sentinel://[user:password@]host:port,host:port/master[/db].
        client: the class to make: `redis.asyncio.Redis`, `redis.Redis` or a subclass.
        timeout_s: how long connecting, and one answer, may take.

    Raises:
        SettingsError: the DSN cannot be read.
    """
    scheme = dsn.partition("://")[0]
    if scheme not in SCHEMES:
        raise SettingsError(f"COPYTRADE_REDIS_DSN: must start with {'://, '.join(SCHEMES)}://; got {masked(dsn)!r}")
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
    }
    try:
        if scheme == "sentinel":
            return _behind_sentinels(dsn, client, options)
        if scheme == "unix":
            del options["socket_keepalive"]
        return cast("Client", client.from_url(dsn, **options))
    except (ValueError, TypeError) as exc:
        # Not from `exc`, and without its text: it may quote a part of the password.
        problem = f"COPYTRADE_REDIS_DSN: cannot be read ({type(exc).__name__}); got {masked(dsn)!r}"
    raise SettingsError(problem)


def _behind_sentinels(dsn: str, client: type[Client], options: dict[str, Any]) -> Client:
    parts = urlsplit(dsn)
    credentials, _, hosts = parts.netloc.rpartition("@")
    master, _, database = parts.path.strip("/").partition("/")
    if not hosts or not master:
        raise ValueError("a sentinel DSN needs host:port,host:port/master")
    sentinels = []
    for host in hosts.split(","):
        name, _, port = host.partition(":")
        sentinels.append((name, int(port or DEFAULT_SENTINEL_PORT)))
    username, _, password = credentials.partition(":")
    watched_by: Any = SyncSentinel if issubclass(client, SyncRedis) else Sentinel
    return cast(
        "Client",
        watched_by(sentinels, sentinel_kwargs=dict(options)).master_for(
            master,
            redis_class=client,
            db=int(database or 0),
            username=unquote(username) or None,
            password=unquote(password) or None,
            **options,
        ),
    )
