"""Errors in the words of a caller over HTTP."""

from __future__ import annotations

import pytest

from producers.cli.json_output import abbreviated_json
from producers.errors import InvalidChange, InvalidLimit
from producers.gateway.calls.wording import broken_rule, place_and_rule


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("0.5", '"0.5"'),
        ({"userId": None}, '{"userId": null}'),
        (b'{"userId', '{"userId'),
        ("é" * 100, '"' + "é" * 79 + "... (102)"),
        (b"x" * 5000, "x" * 80 + "... (5000)"),
    ],
)
def test_values_are_json_text(value: object, text: str) -> None:
    """Cut if they are long; a body is shown as it came."""
    assert abbreviated_json(value) == text


def test_a_value_that_is_nested_too_deeply_is_no_error_of_its_own() -> None:
    """It is not shown."""
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    assert abbreviated_json(value) == "[[[..."


def test_rules_and_fields_have_wire_names() -> None:
    """And a field that is missing has no value."""
    assert broken_rule(InvalidLimit("rate_per_s", "must be a number, or None", 0)) == {
        "field": "ratePerS",
        "rule": "must be a number, or null",
        "value": "0",
    }
    assert broken_rule(InvalidChange("traderId", "is missing", None)) == {"field": "traderId", "rule": "is missing"}


@pytest.mark.parametrize(
    ("message", "place", "rule"),
    [
        ("Expected `float` >= 0.0", "", "must be a number >= 0"),
        ("Expected `float | null`, got `str` - at `$.ratePerS`", "ratePerS", "must be a number or null"),
        ("Object missing required field `ratePerS`", "ratePerS", "is missing"),
        ("Object contains unknown field `x`", "x", "is not a field"),
        ("Expected `str` matching regex '^a{1,2}$'", "", "must be a string matching regex '^a{1,2}$'"),
        (
            "Invalid enum value 'x' - at `$.outcome`",
            "outcome",
            "must be one of the values that are listed for it, not 'x'",
        ),
    ],
)
def test_messages_of_the_decoder_name_json_types(message: str, place: str, rule: str) -> None:
    """Python's types are not the caller's."""
    assert place_and_rule(message) == (place, rule)
