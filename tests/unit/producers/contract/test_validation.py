"""The rules of the endpoint's table, each broken in turn; field names are the wire's."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from producers import CopySetting, InvalidChange, InvalidId, SettingsChange
from producers.contract.messages import AUTO_COPY, LEVER_TYPES, MARGIN_TYPES, MODES, PRODUCT_TYPES, TRACE_TYPES
from producers.contract.validation import MAX_ID_CHARS, MAX_LEVERAGE, MAX_RATIO, MAX_SETTINGS, check_change, check_id
from tests.support.changes import change, setting

WRONG_TYPES: tuple[Any, ...] = (0, 1, 1.5, True, b"1", ["1"], {"a": 1}, object())
NOT_IDS = ("", " ", "a b", "tab\t", "line\n", "\x7f", "ключ", "x" * (MAX_ID_CHARS + 1))
NOT_DECIMALS = (
    "",
    " ",
    "-1",
    "+1",
    "1e3",
    "1E3",
    "NaN",
    "Infinity",
    "1.",
    ".5",
    "01",
    "1,5",
    "1 ",
    "٣",
    "9" * 21,
    "1_0",
)
NOT_WHOLE = ("", "0", "-1", "1.0", "1.5", "01", "+1", "1e2", "two", " 1", "٣")

SETTING_BREACHES: list[tuple[str, str, Any]] = [
    *(("symbol", "symbol", value) for value in (*NOT_IDS, None, *WRONG_TYPES)),
    *(("product_type", "productType", value) for value in ("", "usdt-futures", "SPOT", None, *WRONG_TYPES)),
    *(("margin_type", "marginType", value) for value in ("", "Trader", "crossed", None, *WRONG_TYPES)),
    *(("margin_coin", "marginCoin", value) for value in (*NOT_IDS, *WRONG_TYPES)),
    *(("lever_type", "leverType", value) for value in ("", "leader", "specify ", None, *WRONG_TYPES)),
    *(("long_leverage", "longLeverage", value) for value in (*NOT_WHOLE, str(MAX_LEVERAGE + 1), *WRONG_TYPES)),
    *(("short_leverage", "shortLeverage", value) for value in (*NOT_WHOLE, str(MAX_LEVERAGE + 1), *WRONG_TYPES)),
    *(("trace_type", "traceType", value) for value in ("", "ratio", "PERCENT", None, *WRONG_TYPES)),
    *(("trace_value", "traceValue", value) for value in (*NOT_DECIMALS, *WRONG_TYPES)),
    *(("max_hold_size", "maxHoldSize", value) for value in (*NOT_DECIMALS, *WRONG_TYPES)),
    *(("stop_surplus_ratio", "stopSurplusRatio", value) for value in (*NOT_WHOLE, str(MAX_RATIO + 1), *WRONG_TYPES)),
    *(("stop_loss_ratio", "stopLossRatio", value) for value in (*NOT_WHOLE, str(MAX_RATIO + 1), *WRONG_TYPES)),
]
CHANGE_BREACHES: list[tuple[str, str, Any]] = [
    *(("user_id", "userId", value) for value in (*NOT_IDS, None, *WRONG_TYPES)),
    *(("trader_id", "traderId", value) for value in (*NOT_IDS, None, *WRONG_TYPES)),
    *(("auto_copy", "autoCopy", value) for value in ("", "On", "yes", *WRONG_TYPES)),
    *(("mode", "mode", value) for value in ("", "Basic", "expert", *WRONG_TYPES)),
]


def named(breach: object) -> str | None:
    return repr(breach)[:24] if isinstance(breach, str | int | float | bytes | list | dict) or breach is None else None


def breach_of(broken: Any) -> InvalidChange:
    with pytest.raises(InvalidChange) as caught:
        check_change(broken)
    return caught.value


@pytest.mark.parametrize(("attribute", "wire_name", "value"), SETTING_BREACHES, ids=named)
def test_a_violation_in_a_setting_names_index_field_rule_and_value(attribute: str, wire_name: str, value: Any) -> None:
    """The broken setting is the second of two, so its index is 1."""
    broken = SettingsChange(
        user_id="u", trader_id="t", settings=[setting(), setting(**({"symbol": "ETHUSDT"} | {attribute: value}))]
    )

    error = breach_of(broken)

    assert error.field == f"settings[1].{wire_name}"
    assert error.rule.startswith("must be")
    assert error.value == value
    assert str(error).startswith(f"settings[1].{wire_name}: must be")
    assert "; got " in str(error)


@pytest.mark.parametrize(("attribute", "wire_name", "value"), CHANGE_BREACHES, ids=named)
def test_a_violation_outside_the_settings_names_field_rule_and_value(
    attribute: str, wire_name: str, value: Any
) -> None:
    """The field has its name on the wire, without an index."""
    error = breach_of(msgspec.structs.replace(change(), **{attribute: value}))

    assert (error.field, error.value) == (wire_name, value)
    assert error.rule.startswith("must be")


@pytest.mark.parametrize("count", [0, MAX_SETTINGS + 1, 1000])
def test_a_change_has_one_to_ten_settings(count: int) -> None:
    """The error reports how many there were, not what they contained."""
    settings = [setting(symbol=f"S{number}") for number in range(count)]

    error = breach_of(SettingsChange(user_id="u", trader_id="t", settings=settings))

    assert (error.field, error.value) == ("settings", count)


@pytest.mark.parametrize("settings", [None, "x", 7, {}, iter(())], ids=["None", "text", "int", "dict", "iterator"])
def test_settings_that_are_not_a_list_are_rejected(settings: Any) -> None:
    """Neither a string nor an iterator passes, although both can be iterated."""
    assert breach_of(SettingsChange(user_id="u", trader_id="t", settings=settings)).field == "settings"


@pytest.mark.parametrize("entry", [None, 7, "x", {}, [], {"symbol": "BTCUSDT"}], ids=repr)
def test_an_item_that_is_not_a_setting_is_rejected_by_its_index(entry: Any) -> None:
    """A dict with the fields of a setting does not count as one."""
    assert breach_of(SettingsChange(user_id="u", trader_id="t", settings=[setting(), entry])).field == "settings[1]"


@pytest.mark.parametrize("thing", [None, 7, "x", {}, setting()], ids=["None", "int", "text", "dict", "setting"])
def test_something_else_than_a_change_is_rejected(thing: Any) -> None:
    """The error's field is `change`; a lone setting is one of the cases."""
    assert breach_of(thing).field == "change"


def test_two_settings_of_one_pair_are_rejected() -> None:
    """The exchange would keep one of them, and does not say which."""
    error = breach_of(SettingsChange(user_id="u", trader_id="t", settings=[setting(), setting(trace_value="2")]))

    assert error.field == "settings[1].symbol"
    assert error.value == ("BTCUSDT", "USDT-FUTURES")


def test_one_symbol_in_two_product_types_is_allowed() -> None:
    """Only the pair of symbol and product type must be unique."""
    check_change(SettingsChange(user_id="u", trader_id="t", settings=[setting(), setting(product_type="COIN-FUTURES")]))


def test_lever_type_specify_needs_a_leverage() -> None:
    """Either side would do, so the error names the lever type and not a leverage."""
    error = breach_of(SettingsChange(user_id="u", trader_id="t", settings=[setting(lever_type="specify")]))

    assert (error.field, error.value) == ("settings[0].leverType", "specify")


@pytest.mark.parametrize("side", ["long_leverage", "short_leverage"])
def test_one_specified_leverage_is_enough(side: str) -> None:
    """The other side may be left out, be it long or short."""
    check_change(SettingsChange(user_id="u", trader_id="t", settings=[setting(lever_type="specify", **{side: "20"})]))


@pytest.mark.parametrize(
    ("product", "margin", "trace", "lever"),
    list(itertools.product(PRODUCT_TYPES, MARGIN_TYPES, TRACE_TYPES, LEVER_TYPES)),
)
def test_every_combination_of_the_enumerations_is_allowed(product: str, margin: str, trace: str, lever: str) -> None:
    """A leverage is always given, because `specify` needs one."""
    one = setting(product_type=product, margin_type=margin, trace_type=trace, lever_type=lever, long_leverage="5")

    check_change(SettingsChange(user_id="u", trader_id="t", settings=[one]))


@pytest.mark.parametrize(("auto_copy", "mode"), list(itertools.product((*AUTO_COPY, None), (*MODES, None))))
def test_auto_copy_and_mode_are_optional(auto_copy: Any, mode: Any) -> None:
    """Each value of the one is combined with each of the other, and with none."""
    check_change(msgspec.structs.replace(change(), auto_copy=auto_copy, mode=mode))


@pytest.mark.parametrize(
    "values",
    [
        {"stop_surplus_ratio": "1", "stop_loss_ratio": str(MAX_RATIO)},
        {"long_leverage": "1", "short_leverage": str(MAX_LEVERAGE)},
        {"trace_value": "0", "max_hold_size": "0.00000001"},
        {"trace_value": "9" * 20 + "." + "9" * 20},
        {"symbol": "!" * MAX_ID_CHARS, "margin_coin": "~"},
        {"trace_value": None, "max_hold_size": None, "margin_coin": None},
    ],
    ids=["ratios", "leverages", "small decimals", "longest decimal", "longest text", "nothing optional"],
)
def test_values_at_their_bounds_are_allowed(values: dict[str, Any]) -> None:
    """Each value is the last one that its rule accepts."""
    check_change(SettingsChange(user_id="u", trader_id="t", settings=[setting(**values)]))


def test_ten_settings_are_allowed() -> None:
    """Ten is the maximum; a tuple of them passes like a list."""
    ten: list[CopySetting] = [setting(symbol=f"S{number}") for number in range(MAX_SETTINGS)]

    check_change(SettingsChange(user_id="u", trader_id="t", settings=ten))
    check_change(SettingsChange(user_id="u", trader_id="t", settings=tuple(ten)))  # type: ignore[arg-type]


def test_a_long_value_is_shortened_in_the_message() -> None:
    """An error must fit into a log line, so it gives the length in place of the whole value."""
    message = str(breach_of(msgspec.structs.replace(change(), user_id="x" * 100_000)))

    assert len(message) < 300
    assert "100002 characters" in message


@pytest.mark.parametrize("value", [*NOT_IDS, None, *WRONG_TYPES], ids=named)
def test_a_malformed_id_is_rejected_by_its_parameter(value: Any) -> None:
    """`InvalidId` names the argument of the call, as there is not a field on the wire."""
    with pytest.raises(InvalidId, match=r"^job_id: must be 1 to 128 printable ASCII"):
        check_id("job_id", value)


@pytest.mark.parametrize("value", ["0", "a:b%c", "x" * MAX_ID_CHARS, "!~"])
def test_a_valid_id_is_returned_unchanged(value: str) -> None:
    """The shortest and the longest ID, and the separators that keys escape."""
    assert check_id("job_id", value) == value
