"""Settings from the environment. Producers and workers have a struct each, whose field names carry the units.

The field `redis_dsn` is read from `COPYTRADE_REDIS_DSN`, and checked against the type and the bounds of the struct. The
first invalid variable raises a SettingsError that names it. A DSN, which may have a password, may be in a file:
`COPYTRADE_REDIS_DSN=file:PATH`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

import msgspec

from producers.errors import InvalidArgument, SettingsError, abbreviated

PREFIX = "COPYTRADE_"
FILE = "file:"
MAX_TTL_S = 315_360_000

REDIS_FULL_PERCENT = 85.0
"""Default. What is queued needs memory again while it is sent: a result is about as large as a change."""

MIN_VALUE, MAX_VALUE = 0.001, 1_000_000_000
"""Bounds of every number. They exclude infinity, and keep any positive number of seconds at 1 ms or more."""

Positive = Annotated[float, msgspec.Meta(ge=MIN_VALUE, le=MAX_VALUE)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=MAX_VALUE)]
Percent = Annotated[float, msgspec.Meta(ge=1, le=100)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_VALUE)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

MIN_CONNECTIONS, DEFAULT_CONNECTIONS = 2, 50
"""Connections to Redis: one may wait for notifications, and commands need another. The default allows 10,000 commands a
second at round trips of 5 ms, and 200 such processes fit into Redis's own default of 10,000 clients."""

MAX_SHARDS = 64
"""Each worker process has a session, and a connection that waits for wake-ups, in every shard."""

Shards = Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)]
Connections = Annotated[int, msgspec.Meta(ge=MIN_CONNECTIONS, le=MAX_VALUE)]

_violation = re.compile(r"^(?P<what>.*?)(?:, got `\w+`)? - at `\$\.(?P<field>\w+)`$")

_password_option = re.compile(r"(?is)(password=).*")
_before_last_at = re.compile(r"(?s)(://).*(?=@)")
_not_a_port = re.compile(r"(?s)(://[^\s/?#@:,\[\]]*:)(?!\d+(?:\W|$)).*")


class EnvironmentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the settings of producers and workers."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `COPYTRADE_*` variables. Absent and empty ones keep their defaults.

        Raises:
            SettingsError: a variable has the wrong type or is out of bounds, or the file of a DSN cannot be read.
        """
        environ = os.environ if environ is None else environ
        texts = {name: environ.get(variable_name(name), "").strip() for name in cls.__struct_fields__}
        texts = {name: text for name, text in texts.items() if text}
        if texts.get("redis_dsn", "").startswith(FILE):
            texts["redis_dsn"] = _read_dsn(Path(texts["redis_dsn"].removeprefix(FILE)))
        try:
            return msgspec.convert(texts, cls, strict=False, dec_hook=_from_text)
        except msgspec.ValidationError as exc:
            raise SettingsError(_explain(cls, str(exc), texts)) from exc

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, redact_dsn(value) if isinstance(value, str) else value) for name, value in values]


class ProducerSettings(EnvironmentSettings, frozen=True, kw_only=True):
    """The settings of a producer.

    Attributes:
        redis_dsn: address of Redis: redis://, rediss://, unix://, sentinel://host:port,host:port/master/db or
            redis+cluster://host:port,host:port.
        keyspace: name of the queue, where several share a Redis; None is "copytrade" in a cluster, and else the keys
            without a tag.
        shards: over how many keyspaces the users of the queue are spread; fixed for its life.
        redis_timeout_s: limit for waiting for a free connection to Redis, for connecting, and for each reply.
        redis_connections: maximum number of connections to Redis of a producer.
        redis_wait_s: how long a call retries while Redis is away; with 0 it fails at once.
        change_ttl_s: deadline of a change, counted from its acceptance.
        redis_full_percent: share of Redis's `maxmemory` in use from which on changes are refused.
        lane_limit: maximum number of changes in a lane.
        result_ttl_s: lifetime of results.
        tracing: make spans by OpenTelemetry, and store trace contexts with changes that are sampled.
        tracing_user_ids: name users in spans.
    """

    redis_dsn: Text = "redis://localhost:6379/0"
    keyspace: Text | None = None
    shards: Shards = 1
    redis_timeout_s: Positive = 5.0
    redis_connections: Connections = DEFAULT_CONNECTIONS
    redis_wait_s: NotNegative = 0.0
    redis_full_percent: Percent = REDIS_FULL_PERCENT
    change_ttl_s: Positive = 86_400.0
    lane_limit: Count = 100_000
    result_ttl_s: Positive = 86_400.0
    tracing: bool = False
    tracing_user_ids: bool = True

    @property
    def result_ttl_ms(self) -> int:
        """The lifetime of results, milliseconds."""
        return max(1, round(self.result_ttl_s * 1000))


def change_ttl_ms(seconds: object) -> int:
    """Return the deadline of a change in milliseconds.

    Raises:
        InvalidArgument: `seconds` is not a number above 0, or is more than ten years.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_TTL_S:
        rule = f"must be above 0 and at most {MAX_TTL_S} seconds (ten years)"
        raise InvalidArgument("ttl_s", rule, seconds)
    return max(1, round(seconds * 1000))


def variable_name(field: str) -> str:
    """Return the name of the environment variable of a settings field."""
    return PREFIX + field.upper()


def check_log_settings(log_level: str, log_format: str) -> None:
    """Check the settings of the log.

    Raises:
        SettingsError: one of them has another value than those that there are.
    """
    if log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"{variable_name('log_level')}: must be DEBUG, INFO, WARNING or ERROR; got {log_level!r}")
    if log_format.lower() not in ("console", "json"):
        raise SettingsError(f"{variable_name('log_format')}: must be console or json; got {log_format!r}")


def redact_dsn(text: str) -> str:
    """Replace by `***` what may be a secret of a DSN in a text, whether or not the DSN can be parsed.

    That is everything between `://` and the last `@`, and everything after a `password=` or after a colon that should
    precede a port.
    """
    for pattern in (_password_option, _before_last_at, _not_a_port):
        text = pattern.sub(r"\1***", text)
    return text


def _read_dsn(path: Path) -> str:
    """Return the DSN in a file, such as an orchestrator's secret."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise SettingsError(f"{variable_name('redis_dsn')}: {path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        text = ""
    if text.count("\n") or "://" not in text:
        # Raised outside `except`, so without cause: the decoder's error contains the content.
        raise SettingsError(f"{variable_name('redis_dsn')}: {path} must have one line, the DSN")
    return text


def _from_text(field_type: Callable[[object], object], text: object) -> object:
    """Construct a field of a type that msgspec does not know, such as Secret, from its text."""
    return field_type(text)


def _explain(settings: type[EnvironmentSettings], message: str, texts: Mapping[str, str]) -> str:
    match = _violation.match(message)
    if match is None:
        return message
    field = match["field"]
    what = match["what"]
    if what.startswith("Expected"):  # in the names of Python's types
        hints = get_type_hints(settings, include_extras=True)
        what = _type_rule(msgspec.inspect.type_info(hints[field])) or what
    what = what[0].lower() + what[1:]
    return f"{variable_name(field)}: {what}; got {abbreviated(redact_dsn(texts.get(field, '')))}"


def _type_rule(field_type: msgspec.inspect.Type) -> str | None:
    """Return the rule of a number or a switch in words; None for another type."""
    match field_type:
        case msgspec.inspect.UnionType(types=(one, msgspec.inspect.NoneType())):
            return _type_rule(one)
        case msgspec.inspect.BoolType():
            return "must be true or false"
        case msgspec.inspect.IntType(ge=minimum, le=maximum):
            kind = "whole number"
        case msgspec.inspect.FloatType(ge=minimum, le=maximum):
            kind = "number"
        case _:
            return None
    bounds = "" if minimum is None or maximum is None else f" from {minimum:,.10g} to {maximum:,.10g}"
    return f"must be a {kind}{bounds}"
