"""What breaks a rule, in the words of a caller over HTTP: wire names, values as JSON text. No I/O."""

from __future__ import annotations

import re
from typing import Any

from producers.cli.json_output import abbreviated_json, camel_case
from producers.errors import MISSING, InvalidArgument, InvalidChange, ProducerError

_JSON_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}

_match_expected = re.compile(r"Expected `([^`]+)`(?:, got `[^`]+`)?(.*)", re.DOTALL).fullmatch
_match_missing = re.compile(r"Object missing required field `([^`]+)`").fullmatch
_match_unknown = re.compile(r"Object contains unknown field `([^`]+)`").fullmatch
_match_place = re.compile(r"(.*) - at `\$\.?([^`]*)`", re.DOTALL).fullmatch


def broken_rule(error: ProducerError) -> dict[str, Any]:
    """Return the field, the rule and the value of an error; nothing if it is about no field."""
    match error:
        case InvalidChange(field=field, rule=rule, value=value):
            return _violation(field, rule, value)
        case InvalidArgument(argument=argument, rule=rule, value=value):
            return _violation(camel_case(argument), rule, value)
    return {}


def _violation(field: str, rule: str, value: object) -> dict[str, Any]:
    found = {"field": field, "rule": re.sub(r"\bNone\b", "null", rule)}
    return found if rule == MISSING else found | {"value": abbreviated_json(value)}


def sentence(field: str, rule: str, value: str | None = None) -> str:
    """Return what is wrong with a field as one line."""
    return f"{field}: {rule}" if value is None else f"{field}: {rule}; got {value}"


def place_and_rule(message: str) -> tuple[str, str]:
    """Return the field that a message of msgspec is about, "" for the whole, and the rule in words."""
    placed = _match_place(message)
    message, place = (placed[1], placed[2]) if placed else (message, "")
    if missing := _match_missing(message):
        return ".".join(filter(None, (place, missing[1]))), MISSING
    if unknown := _match_unknown(message):
        return ".".join(filter(None, (place, unknown[1]))), "is not a field"
    if expected := _match_expected(message):
        types = " or ".join(_JSON_TYPES.get(name, name) for name in expected[1].split(" | "))
        return place, f"must be {types}{expected[2].removesuffix('.0')}"
    return place, message.replace("Invalid enum value", "must be one of the values that are listed for it, not")
