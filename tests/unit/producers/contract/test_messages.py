"""The messages on the wire: the exchange's names, and unknown fields and values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers import CopySetting, JobResult, Outcome, SettingsChange
from tests.support.changes import change, result, setting

SETTING_NAMES = [
    "symbol",
    "productType",
    "marginType",
    "marginCoin",
    "leverType",
    "longLeverage",
    "shortLeverage",
    "traceType",
    "traceValue",
    "maxHoldSize",
    "stopSurplusRatio",
    "stopLossRatio",
]
"""The endpoint's table, in its order."""

FULL = setting(
    lever_type="specify", long_leverage="20", short_leverage="10", stop_surplus_ratio="400", stop_loss_ratio="1"
)


def test_a_setting_has_exactly_the_fields_of_the_endpoints_table() -> None:
    """The order is that of the table, too."""
    assert [field.encode_name for field in msgspec.structs.fields(CopySetting)] == SETTING_NAMES
    assert list(msgspec.to_builtins(FULL)) == SETTING_NAMES


def test_a_change_adds_the_user_to_the_fields_of_the_endpoint() -> None:
    """`userId` is ours: it says whose keys sign."""
    names = [field.encode_name for field in msgspec.structs.fields(SettingsChange)]

    assert names == ["userId", "traderId", "autoCopy", "mode", "settings"]


def test_the_required_fields_are_those_of_the_endpoints_table() -> None:
    """The table's column Required says "Yes" for these five."""
    required = [field.encode_name for field in msgspec.structs.fields(CopySetting) if field.required]

    assert required == ["symbol", "productType", "marginType", "leverType", "traceType"]


def test_fields_that_were_not_given_are_not_on_the_wire() -> None:
    """An absent field and an empty one differ to the exchange."""
    assert set(msgspec.to_builtins(setting())) == set(SETTING_NAMES) - {
        "longLeverage",
        "shortLeverage",
        "stopSurplusRatio",
        "stopLossRatio",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("productType", "SPOT"), ("marginType", "x"), ("leverType", "x"), ("traceType", "x"), ("traceValue", 330)],
)
def test_an_unknown_enumeration_value_is_rejected(field: str, value: Any) -> None:
    """The error names the field of the wire; a number in place of a text is rejected likewise."""
    wire = msgspec.to_builtins(setting()) | {field: value}

    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert(wire, CopySetting)


@pytest.mark.parametrize("field", ["userId", "traderId", "settings"])
def test_a_change_without_a_required_field_is_rejected_by_the_field_s_name(field: str) -> None:
    """The error has the name on the wire, which a producer in any language knows."""
    wire = msgspec.to_builtins(change())
    del wire[field]

    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert(wire, SettingsChange)


@pytest.mark.parametrize("coder", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
@pytest.mark.parametrize("message", [change(), setting()], ids=["change", "setting"])
def test_a_misspelt_field_of_what_a_program_hands_in_is_rejected(message: Any, coder: Any) -> None:
    """Decoded as the public types, a change or a setting drops nothing in silence."""
    body = coder.encode(msgspec.to_builtins(message) | {"stopLosRatio": "5"})

    with pytest.raises(msgspec.ValidationError, match="stopLosRatio"):
        coder.decode(body, type=type(message))


@pytest.mark.parametrize("message", [change(), FULL, result("j", code="00000", started_at_ms=1)], ids=["c", "s", "r"])
def test_messages_survive_json_and_msgpack(message: Any) -> None:
    """Encoding and decoding give an equal message."""
    for coder in (msgspec.json, msgspec.msgpack):
        assert coder.decode(coder.encode(message), type=type(message)) == message


def test_outcomes_are_the_seven_of_the_design() -> None:
    """Clients compare these texts, so renaming one breaks them."""
    assert [outcome.value for outcome in Outcome] == [
        "applied",
        "rejected",
        "unauthorized",
        "exhausted",
        "expired",
        "cancelled",
        "superseded",
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_applied_result_says_that_it_was_applied(outcome: Outcome) -> None:
    """`applied` is short for a comparison of the outcome."""
    assert result("j", outcome).applied is (outcome == "applied")


def test_messages_are_immutable() -> None:
    """Assignment to a field of a change, a setting or a result raises."""
    for message in (change(), setting(), JobResult(job_id="j", user_id="", trader_id="", outcome=Outcome.APPLIED)):
        with pytest.raises(AttributeError):
            message.user_id = "2"  # type: ignore[misc,union-attr]
