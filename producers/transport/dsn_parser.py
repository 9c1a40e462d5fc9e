"""Parsing of a DSN. An error names the rule that is broken, and quotes nothing that may be a part of a password."""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import RedisError

DEFAULT_PORT, DEFAULT_SENTINEL_PORT = 6379, 26379

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password", "tls", "sentinel_tls")
OPTIONS = {
    "redis": ("db", "client_name"),
    "rediss": ("db", "client_name", *TLS_OPTIONS),
    "unix": ("db", "client_name", "username", "password"),
    "sentinel": ("client_name", *SENTINEL_OPTIONS, *TLS_OPTIONS),
    "redis+cluster": ("client_name", "tls", *TLS_OPTIONS),
}
"""The options that may follow the `?` of a DSN. Others of redis-py would retry commands, or change replies."""

CLUSTER_EXAMPLE = "redis+cluster://host:6379,host:6379"

_unsafe = re.compile(r"[\s\x00-\x1f\x7f]")


class InvalidDsn(ValueError):
    """A malformed DSN. The message quotes nothing of it but names of options that redis-py or this package has."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a DSN.

    Attributes:
        scheme: its scheme.
        hosts: the server, the sentinels, or nodes of the cluster, as (host, port).
        path: the socket file.
        master: the name of the primary that the sentinels watch.
        server: connection options of the server: database, credentials, TLS.
        sentinel: connection options of the sentinels.
        server_tls: whether the server uses TLS.
        sentinel_tls: whether the sentinels use TLS.
    """

    scheme: str
    hosts: list[tuple[str, int]]
    path: str
    master: str
    server: dict[str, Any] = field(repr=False)
    sentinel: dict[str, Any] = field(repr=False)
    server_tls: bool
    sentinel_tls: bool


def parse_dsn(dsn: str) -> Target:
    """Return the parts of a DSN.

    Raises:
        InvalidDsn: it is malformed, or names a file for TLS that cannot be used.
    """
    try:
        return _parse(dsn)
    except InvalidDsn:
        raise
    except ValueError as exc:  # of the standard library, which quotes what it cannot read
        problem = (
            f"cannot be read ({type(exc).__name__}): check its host, its port (at most 65535) and its percent-encoding"
        )
    raise InvalidDsn(problem)  # outside of the handler, so that the quotation is not its context


def _parse(dsn: str) -> Target:
    scheme, _, rest = dsn.partition("://")
    _check_scheme(scheme)
    via_sentinel, in_cluster = scheme == "sentinel", scheme == "redis+cluster"
    authority, path, options = _split(rest)
    _check_option_names(scheme, options)
    credentials, _, netloc = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    server: dict[str, Any] = {
        "username": _decoded(username) or options.get("username") or None,
        "password": _decoded(password) or options.get("password") or None,
        "client_name": options.get("client_name") or None,
    }
    master, _, database = path.strip("/").partition("/") if via_sentinel else ("", "", path.strip("/"))
    if scheme == "unix":
        database = ""
    number = options.get("db") or database or "0"
    if not (number.isascii() and number.isdigit()):
        raise InvalidDsn("must have a number as its database, such as /0")
    if in_cluster and int(number):
        raise InvalidDsn("a cluster has only database 0; COPYTRADE_KEYSPACE keeps several queues apart")
    server["db"] = int(number)
    server_tls = scheme == "rediss" or ("tls" in OPTIONS[scheme] and _parse_bool(options, "tls"))
    if server_tls:
        server |= _tls_options(options)
    sentinel: dict[str, Any] = {}
    sentinel_tls = via_sentinel and _parse_bool(options, "sentinel_tls", default=server_tls)
    if via_sentinel:
        if not netloc or not master:
            raise InvalidDsn("a sentinel DSN needs host:port,host:port/master")
        sentinel = {
            "username": options.get("sentinel_username") or None,
            "password": options.get("sentinel_password") or None,
            **(_tls_options(options) if sentinel_tls else {}),
        }
    if options.keys() & set(TLS_OPTIONS) and not (server_tls or sentinel_tls):
        raise InvalidDsn("options that begin with ssl_ need tls=true")
    hosts = [] if scheme == "unix" else _parse_hosts(scheme, netloc)
    return Target(scheme, hosts, _decoded(path), _decoded(master), server, sentinel, server_tls, sentinel_tls)


def _split(rest: str) -> tuple[str, str, dict[str, str]]:
    """Return authority, path and options of what follows the scheme.

    Characters that would end the authority early, or change an option, are refused: they are probably a part of a
    password, of which the remainder would be taken for a host, a path or an option.
    """
    if found := _unsafe.search(rest):
        raise InvalidDsn(f"white space and control characters must be percent-encoded: {quote(found[0])}")
    end = re.search(r"[/?#]", rest)
    if end is not None and "@" in rest[end.start() :]:
        raise InvalidDsn(
            f"{end[0]!r} before the last '@': in a user or password, percent-encode it: {quote(end[0], safe='')}"
            " (or, if the '@' is a part of a path or option: %40)"
        )
    if "#" in rest:
        raise InvalidDsn("'#' must be percent-encoded: %23")
    before, _, query = rest.partition("?")
    if "+" in query:
        raise InvalidDsn("'+' in an option must be percent-encoded: %2B (and a space: %20)")
    authority, slash, path = before.partition("/")
    return authority, slash + path, dict(parse_qsl(query, keep_blank_values=True, errors="strict"))


def _decoded(text: str) -> str:
    return unquote(text, errors="strict")


def _check_option_names(scheme: str, options: dict[str, str]) -> None:
    """Refuse options that a scheme does not have.

    A name that nobody has may be what follows an unencoded `?` or `&` of a password, so it is not quoted.
    """
    allowed = OPTIONS[scheme]
    unknown = sorted(options.keys() - set(allowed))
    if not unknown:
        return
    known = {*inspect.signature(Redis).parameters, *(name for names in OPTIONS.values() for name in names)}
    similar = {match for name in unknown for match in difflib.get_close_matches(name, allowed, n=1, cutoff=0.8)}
    if named := [name for name in unknown if name in known]:
        problem = f"{', '.join(named)}: no such option"
    elif similar:
        problem = f"there is an unknown option, similar to {', '.join(sorted(similar))}"
    else:
        problem = "there is an unknown option ('&' in a value must be percent-encoded: %26)"
    raise InvalidDsn(f"{problem}; there are {', '.join(allowed)}")


def _check_scheme(scheme: str) -> None:
    if scheme == "rediss+cluster":
        raise InvalidDsn(f"TLS of a cluster is an option: {CLUSTER_EXAMPLE}?tls=true")
    if scheme not in OPTIONS:
        raise InvalidDsn(f"must start with {'://, '.join(OPTIONS)}://")


def _parse_hosts(scheme: str, netloc: str) -> list[tuple[str, int]]:
    texts = netloc.split(",")
    if scheme == "redis+cluster" and not all(urlsplit(f"//{text}").hostname for text in texts):
        raise InvalidDsn(f"must name nodes of the cluster: {CLUSTER_EXAMPLE}")
    if len(texts) > 1 and scheme not in ("sentinel", "redis+cluster"):
        raise InvalidDsn("several hosts need sentinel://host:port,host:port/master or redis+cluster://host:port,...")
    return [_parse_host(text, DEFAULT_SENTINEL_PORT if scheme == "sentinel" else DEFAULT_PORT) for text in texts]


def _parse_host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or default_port


def _parse_bool(options: dict[str, str], name: str, *, default: bool = False) -> bool:
    text = options.get(name, "").lower()
    if text not in ("", "true", "yes", "1", "false", "no", "0"):
        raise InvalidDsn(f"{name}: must be true or false")
    return text in ("true", "yes", "1") if text else default


def _tls_options(options: dict[str, str]) -> dict[str, Any]:
    """Return redis-py's options for TLS. The host name is checked by default, unlike in redis-py 5."""
    checked = options.get("ssl_cert_reqs", "required")
    if checked not in ("required", "optional", "none"):
        raise InvalidDsn("ssl_cert_reqs: must be required, optional or none")
    tls: dict[str, Any] = {name: options[name] for name in TLS_OPTIONS[:3] if options.get(name)}
    tls["ssl_cert_reqs"] = checked
    tls["ssl_check_hostname"] = _parse_bool(options, "ssl_check_hostname", default=checked != "none")
    try:
        RedisSSLContext(**{name.removeprefix("ssl_"): value for name, value in tls.items()}).get()
    except (OSError, ValueError, RedisError) as exc:
        files = ", ".join(f"{name}={tls[name]}" for name in TLS_OPTIONS[:3] if name in tls) or "no files given"
        raise InvalidDsn(f"TLS cannot be set up ({type(exc).__name__}: {exc}; {files})") from None
    return tls
