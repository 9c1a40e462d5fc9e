"""The worker's settings, from the environment. A test compares ops/CONFIGURATION.md with this struct."""

from __future__ import annotations

import re
from base64 import b64encode
from ipaddress import ip_address
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from producers.contract.keyspace import CONTROL_QUEUE
from producers.contract.validation import check_id
from producers.errors import InvalidId, SettingsError, abbreviated
from producers.settings import (
    DEFAULT_CONNECTIONS,
    Connections,
    Count,
    EnvironmentSettings,
    NotNegative,
    Positive,
    Shards,
    Text,
    check_log_settings,
    variable_name,
)
from worker.secret import Secret

MIN_SESSION_TTL_S = 0.5
"""A shorter session ends by a stall of the event loop, or a slow reply of Redis."""

MAX_QUEUE_CHARS = 128
MAX_PORT = 65_535

Port = Annotated[int, msgspec.Meta(ge=1, le=MAX_PORT)]

_is_queue = re.compile(rf"(?!arq:|copytrade:(?!queue))[!-~]{{1,{MAX_QUEUE_CHARS}}}").fullmatch
_proxy = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[^:@/?#\s]+):(?P<password>[^:@/?#\s]*)@)?"
    r"(?P<host>[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\]):(?P<port>[0-9]{1,5})/?",
    re.IGNORECASE,
)
_origin = re.compile(r"(https?://(?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?)/?")


class WorkerSettings(EnvironmentSettings, frozen=True, kw_only=True):
    """The settings of a worker.

    Attributes:
        redis_dsn: address of Redis: redis://, rediss://, unix://, sentinel://host:port,host:port/master/db or
            redis+cluster://host:port,host:port.
        keyspace: name of the queue, where several share a Redis; None is "copytrade" in a cluster, and else the keys
            without a tag.
        shards: over how many keyspaces the users of the queue are spread; fixed for its life.
        redis_timeout_s: limit for waiting for a free connection to Redis, for connecting, and for each reply.
        redis_connections: maximum number of connections to Redis of a worker process.
        exchange_url: scheme and host of the exchange.
        exchange_insecure: allow http:// to a host that is not this machine. Users' API keys and passphrases are then
            sent in clear.
        credentials: source of users' API keys: file:PATH to a TOML file, redis: for sealed records, or
            python:MODULE:FACTORY (worker/credentials/README.md).
        credentials_keys: the key ring that seals records in Redis: file:PATH, or <key ID>:<base64>, separated
            by commas; the first one seals, all of them open.
        queue: the arq queue of control jobs, such as `submit` from apps that have only arq. Other queues are not read.
        egress: name of this worker's egress IP; workers with the same name share its limit, and send for the users that
            are pinned to it.
        egress_bind: the IP address of this machine that connections to the exchange, or to the proxy, are made from;
            None for the one that the system chooses.
        egress_proxy: URL of the HTTP proxy through which the exchange is reached, http:// or https://, with user and
            password if it asks for them; None for none. Variables such as HTTPS_PROXY are not read.
        user_rate_per_s: requests a second of one user. The endpoint's page said 10; its current version says 5.
        egress_rate_per_s: requests a second of one egress IP. The exchange allows 6000 a minute.
        egress_hold_s: the longest pause between probes of an egress whose limit was exceeded. The exchange needs
            5 minutes to recover (Bitget API documentation, FAQ 10, and its change log of August 2025).
        pace_margin_percent: how much slower than the user's rate requests are paced. It only smooths the traffic; the
            guard keeps the limit (worker/queue/rate.py).
        max_jobs: maximum concurrent attempts of one worker process.
        session_ttl_s: lifetime of a worker's session. The lanes of a dead worker are claimed again after it.
        connect_timeout_s: limit for connecting to the exchange.
        request_timeout_s: limit for a whole request.
        max_tries: tries after which a change ends as exhausted; with 0 only its deadline ends it.
        result_ttl_s: lifetime of results.
        dead_letter_ttl_s: lifetime of dead letters: changes that ended rejected, unauthorized or exhausted.
        stop_timeout_s: how long a stopping worker waits for running attempts.
        health_interval_s: interval of the health key, and of the worker's announcement (at most one minute).
        metrics_host: name or address on which each process serves its metrics and its health.
        metrics_port: the port of the first process; the next one has the next port. None serves neither.
        tracing: make spans by OpenTelemetry of changes that are stored with a trace context.
        tracing_user_ids: name users in spans.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_format: console (text) or json (one object a line).
    """

    redis_dsn: Text = "redis://localhost:6379/0"
    keyspace: Text | None = None
    shards: Shards = 1
    redis_timeout_s: Positive = 5.0
    redis_connections: Connections = DEFAULT_CONNECTIONS
    exchange_url: Text = "https://api.bitget.com"
    exchange_insecure: bool = False
    credentials: Text = "file:credentials.toml"
    credentials_keys: Secret | None = None
    queue: Text = CONTROL_QUEUE
    egress: Text = "default"
    egress_bind: Text | None = None
    egress_proxy: Secret | None = None
    user_rate_per_s: Positive = 10.0
    egress_rate_per_s: Positive = 100.0
    egress_hold_s: Positive = 300.0
    pace_margin_percent: NotNegative = 0.2
    max_jobs: Count = 256
    session_ttl_s: Positive = 2.0
    connect_timeout_s: Positive = 2.0
    request_timeout_s: Positive = 5.0
    max_tries: int = 0
    result_ttl_s: Positive = 86_400.0
    dead_letter_ttl_s: Positive = 604_800.0
    stop_timeout_s: Count = 10
    health_interval_s: Positive = 10.0
    metrics_host: Text = "127.0.0.1"
    metrics_port: Port | None = None
    tracing: bool = False
    tracing_user_ids: bool = True
    log_level: Text = "INFO"
    log_format: Text = "console"

    def __post_init__(self) -> None:
        if self.session_ttl_s < MIN_SESSION_TTL_S:
            raise SettingsError(
                f"{variable_name('session_ttl_s')}: must be at least {MIN_SESSION_TTL_S:g}; got {self.session_ttl_s:g}"
            )
        try:
            check_id(variable_name("egress"), self.egress)
        except InvalidId as exc:
            raise SettingsError(str(exc)) from None
        if self.egress_bind is not None:
            _check_ip(self.egress_bind)
        if self.egress_proxy is not None:
            _parse_proxy(self.egress_proxy)
            if not exchange_origin(self.exchange_url).startswith("https://"):
                raise SettingsError(
                    f"{variable_name('egress_proxy')}: needs an exchange with https://: without TLS, the proxy's own"
                    " answers cannot be told from the exchange's"
                )
        if not _is_queue(self.queue):
            raise SettingsError(
                f"{variable_name('queue')}: must be 1 to {MAX_QUEUE_CHARS} printable ASCII characters without spaces,"
                " and must not begin with arq: (other arq apps) or copytrade: (other keys of this project;"
                f" {CONTROL_QUEUE} and names that begin so are allowed); got {abbreviated(self.queue)}"
            )
        if self.max_tries < 0:
            raise SettingsError(f"{variable_name('max_tries')}: must be 0 (no bound) or more; got {self.max_tries}")
        check_log_settings(self.log_level, self.log_format)
        origin = exchange_origin(self.exchange_url)
        if not (self.exchange_insecure or is_private(origin)):
            raise SettingsError(
                f"{variable_name('exchange_url')}: http:// sends API keys and passphrases in clear; use https://, "
                f"or set {variable_name('exchange_insecure')}=true if the way to that host is safe"
            )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy of `egress_proxy`."""
        return None if self.egress_proxy is None else _parse_proxy(self.egress_proxy)


class Proxy(NamedTuple):
    """An HTTP proxy.

    Attributes:
        url: its URL, without user and password.
        authorization: the header Proxy-Authorization; None for a proxy without a password.
    """

    url: str
    authorization: Secret | None = None

    @property
    def address(self) -> str:
        """Its host and port, for messages."""
        return urlsplit(self.url).netloc


def exchange_origin(url: str) -> str:
    """Return scheme, host and port of the exchange's URL, in lower case.

    Raises:
        SettingsError: it is no http:// or https:// URL, or has other parts than these. The message does not quote the
            URL, which may contain a password.
    """
    found = _origin.fullmatch(url.lower())
    if found is None or int(found["port"] or 1) not in range(1, 65_536):
        raise SettingsError(
            f"{variable_name('exchange_url')}: must be scheme and host only, such as https://api.bitget.com"
        )
    return found[1]


def is_private(origin: str) -> bool:
    """Return whether nobody else can read what is sent to an origin: TLS, or this machine's loopback."""
    parts = urlsplit(origin)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:  # a name
        return False


def _parse_proxy(setting: Secret) -> Proxy:
    """Return the proxy that a URL names.

    Raises:
        SettingsError: it is no URL of a proxy. The message does not quote it, since it may contain a password.
    """
    found = _proxy.fullmatch(setting.reveal())
    if found is None or int(found["port"]) not in range(1, MAX_PORT + 1):
        raise SettingsError(
            f"{variable_name('egress_proxy')}: must be http:// or https://, then USER:PASSWORD@ if the proxy asks for"
            " them (percent-encoded), then HOST:PORT, such as http://10.0.0.7:3128"
        )
    url = f"{found['scheme'].lower()}://{found['host'].lower()}:{found['port']}"
    if found["user"] is None:
        return Proxy(url)
    name_and_password = f"{unquote(found['user'])}:{unquote(found['password'])}"
    return Proxy(url, Secret(f"Basic {b64encode(name_and_password.encode()).decode()}"))


def _check_ip(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        raise SettingsError(
            f"{variable_name('egress_bind')}: must be an IP address of this machine, such as 203.0.113.7;"
            f" got {abbreviated(text)}"
        ) from None
