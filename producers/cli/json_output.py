"""Values as JSON: camel-case names, every field there, ASCII only, so that no terminal and no locale can be upset."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from producers.contract.messages import SettingsChange
from producers.errors import InvalidChange, ProducerError, abbreviated

_word_starts = re.compile(r"_+([a-z0-9])")


def document(value: object, *, indent: int | None = None) -> str:
    """The JSON text of a value."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """A value made of what JSON has."""
    if isinstance(value, SettingsChange):
        return msgspec.to_builtins(value)  # as it goes to the exchange: what is not given is not there
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {camel(wire): plain(getattr(value, name)) for wire, name in names}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
        return {camel(name): plain(getattr(value, name)) for name in fields}
    if isinstance(value, ProducerError):
        return _error(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def camel(name: str) -> str:
    """A Python name as a wire name."""
    return _word_starts.sub(lambda found: found[1].upper(), name)


def _error(error: ProducerError) -> dict[str, Any]:
    named: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, InvalidChange):
        named |= {"field": error.field, "rule": error.rule, "value": abbreviated(error.value)}
    return named
