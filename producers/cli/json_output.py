"""JSON output: names in camel case, every field present, and ASCII only, so that it can be printed in any locale."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from producers.contract.messages import SettingsChange
from producers.errors import MAX_VALUE_CHARS, InvalidChange, ProducerError, abbreviated

_word_starts = re.compile(r"_+([a-z0-9])")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON text."""
    return json.dumps(to_builtins(value), indent=indent, allow_nan=False)


def to_builtins(value: Any) -> Any:
    """Return a value as dicts, lists, strings, numbers, booleans and None."""
    if isinstance(value, SettingsChange):
        return msgspec.to_builtins(value)  # as the exchange receives it, without unset fields
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {camel_case(wire): to_builtins(getattr(value, name)) for wire, name in names}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
        return {camel_case(name): to_builtins(getattr(value, name)) for name in fields}
    if isinstance(value, ProducerError):
        return _error(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(to_builtins(name)): to_builtins(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_builtins(item) for item in value]
    return value


def abbreviated_json(value: object) -> str:
    """Return a value as JSON text, cut to 80 characters; a body, which may be anything, as it came."""
    if isinstance(value, bytes):
        return _cut(value[: MAX_VALUE_CHARS + 1].decode(errors="replace"), len(value))
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except RecursionError:
        return "[[[..."
    return _cut(text, len(text))


def _cut(text: str, length: int) -> str:
    return text if length <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}... ({length})"


def camel_case(name: str) -> str:
    """Return a Python name in camel case."""
    return _word_starts.sub(lambda match: match[1].upper(), name)


def _error(error: ProducerError) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, InvalidChange):
        fields |= {"field": error.field, "rule": error.rule, "value": abbreviated(error.value)}
    return fields
