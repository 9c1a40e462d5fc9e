"""Settings from the environment: one frozen struct a side, every knob with its unit in its name.

A field `redis_dsn` is the variable `COPYTRADE_REDIS_DSN`. Types and bounds are the struct's; the first variable that
breaks one stops the start with a line that names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Self

import msgspec

from producers.errors import InvalidArgument, SettingsError, abbreviated

PREFIX = "COPYTRADE_"
MAX_TTL_S = 315_360_000

MIN_VALUE, MAX_VALUE = 0.001, 1_000_000_000
"""Bounds of every number: far beyond what is sensible, they keep infinity out, and milliseconds above 0."""

Positive = Annotated[float, msgspec.Meta(ge=MIN_VALUE, le=MAX_VALUE)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=MAX_VALUE)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_VALUE)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

_fault_path = re.compile(r"^(?P<what>.*?)(?:, got `\w+`)? - at `\$\.(?P<field>\w+)`$")
_passwords = re.compile(r"(://[^:@]*:).*(?=@)|((?i:password)=)[^&]*")


class EnvironmentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of both sides' settings."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Reads `COPYTRADE_*` variables; those that are absent or empty keep their defaults.

        Raises:
            SettingsError: a variable has the wrong type or is out of bounds.
        """
        environ = os.environ if environ is None else environ
        given = {name: environ.get(variable(name), "").strip() for name in cls.__struct_fields__}
        given = {name: value for name, value in given.items() if value}
        try:
            return msgspec.convert(given, cls, strict=False, dec_hook=_made_of)
        except msgspec.ValidationError as exc:
            raise SettingsError(_explain(str(exc), given)) from exc

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        fields = ", ".join(f"{name}={masked(value) if isinstance(value, str) else value!r}" for name, value in values)
        return f"{type(self).__name__}({fields})"


class ProducerSettings(EnvironmentSettings, frozen=True, kw_only=True):
    """The producers' side.

    Attributes:
        redis_dsn: where Redis is: redis://, rediss://, unix:// or sentinel://host:port,host:port/master/db.
        redis_timeout_s: how long Redis may take to connect or to answer.
        redis_wait_s: how long a producer's call waits for a Redis that is away; 0 fails at once.
        change_ttl_s: deadline of a change, counted from its acceptance.
        lane_limit: how many changes a lane may hold.
        result_ttl_s: how long results are kept.
    """

    redis_dsn: Text = "redis://localhost:6379/0"
    redis_timeout_s: Positive = 5.0
    redis_wait_s: NotNegative = 0.0
    change_ttl_s: Positive = 86_400.0
    lane_limit: Count = 100_000
    result_ttl_s: Positive = 86_400.0

    @property
    def result_ttl_ms(self) -> int:
        """How long results are kept, milliseconds."""
        return max(1, round(self.result_ttl_s * 1000))


def change_ttl_ms(seconds: float) -> int:
    """The deadline of a change in milliseconds.

    Raises:
        InvalidArgument: it is not above 0 and at most ten years.
    """
    if not 0 < seconds <= MAX_TTL_S:
        rule = f"must be above 0 and at most {MAX_TTL_S} seconds (ten years)"
        raise InvalidArgument(f"ttl_s: {rule}; got {abbreviated(seconds)}")
    return max(1, round(seconds * 1000))


def variable(field: str) -> str:
    """The environment variable of a settings field."""
    return PREFIX + field.upper()


def masked(dsn: str) -> str:
    """A DSN without its password, for logs and errors."""
    return _passwords.sub(lambda found: f"{found[1] or found[2]}***", dsn)


def _made_of(kind: Callable[[object], object], text: object) -> object:
    """A value of a type that is made from a text, such as one that hides it."""
    return kind(text)


def _explain(message: str, given: Mapping[str, str]) -> str:
    match = _fault_path.match(message)
    if match is None:
        return message
    field = match["field"]
    what = match["what"][0].lower() + match["what"][1:]
    return f"{variable(field)}: {what}; got {abbreviated(masked(given.get(field, '')))}"
