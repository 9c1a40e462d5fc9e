"""JSON Schemas of what the gateway takes and answers, with the rules that types do not say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from producers import DeadLetter, Overview, Pause, UserStatus
from producers.cli.json_output import camel_case
from producers.contract.schema import describe, schema
from producers.contract.validation import (
    ID_PATTERN,
    MAX_BATCH_ID_CHARS,
    MAX_ID_CHARS,
    MAX_RATE_PER_S,
    MAX_SETTINGS,
    MIN_RATE_PER_S,
)
from producers.gateway.api.batches import CancelledMany
from producers.gateway.api.bulk import EnqueuedMany
from producers.gateway.api.changes import Cancelled, ChangeStatus, Enqueued
from producers.gateway.api.fan_outs import BatchReport
from producers.gateway.api.letters import Dropped, Letters, ReplayReport
from producers.gateway.api.new_batch import NewBatch
from producers.gateway.api.operating import Changed, NewLimit, PauseTarget
from producers.gateway.api.pins import NewPin, PinnedMany, UserPin
from producers.gateway.api.results import ResultsPage
from producers.gateway.calls.problem_document import Problem
from producers.settings import MAX_TTL_S

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
MESSAGES = (
    BatchReport, Cancelled, CancelledMany, Changed, ChangeStatus, Dropped, Enqueued, EnqueuedMany, Letters, NewBatch,
    NewLimit, NewPin, PauseTarget, PinnedMany, Problem, ReplayReport, ResultsPage, UserPin,
)  # fmt: skip
IN_CAMEL_CASE = (UserStatus, Pause, DeadLetter, Overview)
"""Answers whose names are turned into camel case when they are encoded, with all their fields."""

ID: Schema = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
ID_IN_PATH: Schema = {"type": "string", "pattern": f"^[!-.0-~]{{1,{MAX_ID_CHARS}}}$"}
BATCH_ID: Schema = {"type": "string", "pattern": f"^[!-.0-~]{{1,{MAX_BATCH_ID_CHARS}}}$"}
TTL: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TTL_S}
RATE: Schema = {"type": "number", "minimum": MIN_RATE_PER_S, "maximum": MAX_RATE_PER_S}
SETTINGS: Schema = {"type": "array", "items": {"$ref": REF.format(name="CopySetting")}}
PINS: Schema = {"type": "array", "items": {"$ref": REF.format(name="UserPin")}}
CHANGES: Schema = {"type": "array", "items": {"$ref": REF.format(name="SettingsChange")}}

FIELDS: dict[str, dict[str, Schema]] = {
    "NewBatch": {
        "traderId": ID,
        "settings": SETTINGS | {"minItems": 1, "maxItems": MAX_SETTINGS},
        "userIds": {"type": "array", "items": ID},
        "changes": CHANGES,
        "batchId": BATCH_ID,
        "ttlS": TTL,
    },
    "NewLimit": {"ratePerS": RATE},
    "PauseTarget": {"userId": ID, "traderId": ID, "egress": ID},
    "UserPin": {"egress": ID},
    "Letters": {"jobId": ID, "userId": ID, "traderId": ID, "batchId": ID, "code": ID},
}
"""What fields that may be null are otherwise."""

REQUIRED: dict[str, dict[str, Schema]] = {"NewPin": {"egress": ID}, "UserPin": {"userId": ID}}
"""What fields that may not be null are."""

_LETTER_FILTERS = ("outcome", "userId", "traderId", "batchId", "code")
_TEMPLATE = ("traderId", "settings", "userIds", "autoCopy", "mode")
FORMS: dict[str, list[tuple[Sequence[str], Sequence[str]]]] = {
    "NewBatch": [(("traderId", "settings"), _TEMPLATE), (("changes",), ())],
    "PauseTarget": [((name,), ()) for name in ("userId", "traderId", "egress", "everything")],
    "Letters": [
        (("jobId",), ()),
        *(((name,), _LETTER_FILTERS) for name in _LETTER_FILTERS),
        (("everything",), ()),
    ],
}
"""The forms that a message can have: the fields that each must have, and those that it may have besides."""


def components() -> dict[str, Schema]:
    """Return the schemas, by name."""
    _, own = msgspec.json.schema_components(MESSAGES, ref_template=REF)
    _, others = msgspec.json.schema_components(IN_CAMEL_CASE, ref_template=REF)
    own |= {name: _in_camel_case(found) for name, found in others.items() if name not in own}
    for name, found in own.items():
        describe(found)
        for field, rule in FIELDS.get(name, {}).items():
            kept = {
                key: value for key, value in found["properties"][field].items() if key in ("description", "default")
            }
            found["properties"][field] = {"anyOf": [rule, {"type": "null"}], **kept}
        for field, rule in REQUIRED.get(name, {}).items():
            found["properties"][field] |= rule
        if name in FORMS:
            found["anyOf"] = _forms(found["properties"], FORMS[name])
    contract = json.loads(json.dumps(schema()["$defs"]).replace("#/$defs/", REF.format(name="")))
    return {**own, **contract}


def _in_camel_case(found: Schema) -> Schema:
    if "properties" not in found:
        return found
    properties = {camel_case(name): field for name, field in found["properties"].items()}
    return found | {"properties": properties, "required": list(properties)}


def _forms(properties: Schema, forms: list[tuple[Sequence[str], Sequence[str]]]) -> list[Schema]:
    """Return each form as what it adds to the fields: those that it must have, and those that it cannot have."""
    alternatives = {name for must, may in forms for name in (*must, *may)}
    return [
        {
            "required": list(must),
            "properties": {
                **{name: _given(properties[name]) for name in must},
                **{name: _left_out(properties[name]) for name in sorted(alternatives - {*must, *may})},
            },
        }
        for must, may in forms
    ]


def _given(field: Schema) -> Schema:
    return {"const": True} if field.get("type") == "boolean" else {"not": {"type": "null"}}


def _left_out(field: Schema) -> Schema:
    return {"const": False} if field.get("type") == "boolean" else {"type": "null"}
