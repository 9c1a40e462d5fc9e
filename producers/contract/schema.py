"""The contract as JSON Schema, for programs in other languages. Generated from the structs; no I/O.

`copytrade schema` prints it. producers/contract/schema.json is a copy of that; a test compares them.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

import msgspec

from producers.contract.codec import ChangeOptions
from producers.contract.messages import CONTRACT_VERSION, Attempt, CopySetting, JobResult, SettingsChange
from producers.contract.progress import Progress
from producers.contract.validation import DECIMAL_PATTERN, ID_PATTERN, MAX_SETTINGS

MESSAGES = (SettingsChange, CopySetting, ChangeOptions, JobResult, Attempt, Progress)

PATTERNS = {
    "SettingsChange": dict.fromkeys(("userId", "traderId"), ID_PATTERN),
    "CopySetting": {
        **dict.fromkeys(("symbol", "marginCoin"), ID_PATTERN),
        **dict.fromkeys(("traceValue", "maxHoldSize"), DECIMAL_PATTERN),
        **dict.fromkeys(("longLeverage", "shortLeverage"), r"[1-9][0-9]{0,2}"),
        **dict.fromkeys(("stopSurplusRatio", "stopLossRatio"), r"(?:[1-9][0-9]?|[1-3][0-9]{2}|400)"),
    },
}
"""Patterns that `validation` adds to the types. Of its rules over several fields, only `LEVERAGE` is in here."""

LEVERAGE = {
    "if": {"properties": {"leverType": {"const": "specify"}}},
    "then": {
        "anyOf": [
            {"properties": {name: {"type": "string"}}, "required": [name]} for name in ("longLeverage", "shortLeverage")
        ]
    },
}
"""With the leverage type "specify", there must be a leverage."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of every message, in `$defs` under its name."""
    _, messages = msgspec.json.schema_components(MESSAGES, ref_template="#/$defs/{name}")
    for message, patterns in PATTERNS.items():
        for field, pattern in patterns.items():
            _text_part(messages[message]["properties"][field])["pattern"] = f"^{pattern}$"
    for message in messages.values():
        describe(message)
    messages["CopySetting"] |= LEVERAGE
    messages["SettingsChange"]["properties"]["settings"] |= {"minItems": 1, "maxItems": MAX_SETTINGS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "copytrade-settings",
        "description": f"Messages of contract version {CONTRACT_VERSION}.",
        "$defs": dict(sorted(messages.items())),
    }


def describe(message: dict[str, Any]) -> None:
    """Move the `Attributes` of a message's docstring to the descriptions of its fields."""
    summary, _, attributes = inspect.cleandoc(message.get("description", "")).partition("\n\nAttributes:\n")
    message["description"] = " ".join(summary.split())
    for name, text in _attribute.findall(textwrap.dedent(attributes)):
        first, *others = name.split("_")
        field = first + "".join(map(str.capitalize, others))
        message["properties"][field]["description"] = " ".join(text.split())


_attribute = re.compile(r"^(\w+): (.+(?:\n +.+)*)", re.MULTILINE)


def _text_part(field: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a field's schema that describes text; an optional field has another for null."""
    text: dict[str, Any] = next((part for part in field.get("anyOf", ()) if part.get("type") == "string"), field)
    return text
