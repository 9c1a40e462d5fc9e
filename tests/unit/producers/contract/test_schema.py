"""The published contract."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from producers.contract.messages import SettingsChange
from producers.contract.schema import schema
from tests.support.changes import change, result


def test_the_published_schema_is_current() -> None:
    """If not: `copytrade schema > producers/contract/schema.json`."""
    published = json.loads(files("producers.contract").joinpath("schema.json").read_text("utf-8"))

    assert published == schema()


@pytest.mark.parametrize("name", ["SettingsChange", "CopySetting", "ChangeOptions", "JobResult", "Attempt", "Progress"])
def test_the_schema_has_every_message_with_its_wire_names(name: str) -> None:
    """Wire names are in camel case, without underscores."""
    properties = schema()["$defs"][name]["properties"]

    assert properties
    assert all(re.fullmatch(r"[a-z][a-zA-Z]*", field) for field in properties)


def test_every_reference_of_the_schema_resolves() -> None:
    """Code generators fail at a dangling reference."""
    whole = schema()

    names = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(whole)))
    assert names
    assert names <= set(whole["$defs"])


@pytest.mark.parametrize(
    ("message", "field", "good", "bad"),
    [
        ("SettingsChange", "userId", "1001", "10 01"),
        ("CopySetting", "traceValue", "0.5", "-1"),
        ("CopySetting", "stopLossRatio", "20", "0"),
    ],
)
def test_the_patterns_of_the_schema_are_the_validation_rules(message: str, field: str, good: str, bad: str) -> None:
    """An ID, a decimal and a whole number, each with a value that matches and one that does not."""
    described: dict[str, Any] = schema()["$defs"][message]["properties"][field]
    text = next((one for one in described.get("anyOf", ()) if "pattern" in one), described)

    assert re.search(text["pattern"], good)
    assert not re.search(text["pattern"], bad)


def test_required_fields_are_those_without_a_default() -> None:
    """A client must send at least these in a change, and finds at least these in a result."""
    assert set(schema()["$defs"]["SettingsChange"]["required"]) == {"userId", "traderId", "settings"}
    assert isinstance(change(), SettingsChange)
    assert {"jobId", "userId", "traderId", "outcome"} <= set(schema()["$defs"]["JobResult"]["required"])
    assert result("a").successor is None
