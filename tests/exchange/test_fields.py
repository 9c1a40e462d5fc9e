"""The body of a request, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from ops.exchange.fields import FieldError, decode_json, summarize, validate
from tests.support.signed_requests import TRADER, body, setting


def test_the_example_of_the_documentation_passes_and_is_kept_as_given() -> None:
    """Validation returns the trader and the settings without any conversion."""
    assert validate(decode_json(body())) == (TRADER, [setting()])


@pytest.mark.parametrize(
    "changed",
    [
        {"traceValue": None},
        {"marginCoin": None, "maxHoldSize": None},
        {"leverType": "specify", "longLeverage": "20"},
        {"leverType": "specify", "shortLeverage": "125"},
        {"stopSurplusRatio": "1", "stopLossRatio": "400"},
        {"stopSurplusRatio": ""},
        {"traceType": "percent", "traceValue": "0.5"},
        {"traceType": "count", "productType": "COIN-FUTURES", "leverType": "position", "marginType": "specify"},
    ],
)
def test_what_the_documentation_allows_passes(changed: dict[str, Any]) -> None:
    """Optional fields may be absent or empty, and the bounds are inclusive."""
    validate(decode_json(body(setting(**changed))))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": None}, "40019"),
        ({"symbol": ""}, "40019"),
        ({"symbol": "BTC USDT"}, "40034"),
        ({"productType": None}, "40019"),
        ({"productType": "usdt-futures"}, "40020"),
        ({"marginType": "crossed"}, "40020"),
        ({"marginCoin": "US DT"}, "40034"),
        ({"leverType": "fixed"}, "40020"),
        ({"leverType": "specify"}, "40019"),
        ({"leverType": "specify", "longLeverage": "0"}, "43050"),
        ({"leverType": "specify", "longLeverage": "126"}, "43050"),
        ({"leverType": "specify", "shortLeverage": "1.5"}, "43050"),
        ({"longLeverage": 20}, "40020"),
        ({"traceType": "ratio"}, "40020"),
        ({"traceValue": 330}, "40020"),
        ({"traceValue": "-1"}, "40808"),
        ({"traceValue": "1e3"}, "40808"),
        ({"traceValue": "many"}, "40808"),
        ({"traceValue": "0.00"}, "31035"),
        ({"maxHoldSize": "5,000"}, "40808"),
        ({"stopSurplusRatio": "0"}, "31040"),
        ({"stopSurplusRatio": "401"}, "31040"),
        ({"stopLossRatio": "10.5"}, "31041"),
        ({"stopLossRatio": "\u0661"}, "31041"),
        ({"stoplossRatio": "10"}, "40017"),
    ],
)
def test_a_malformed_field_of_a_setting_is_rejected_with_its_code(changed: dict[str, Any], code: str) -> None:
    """The message names the index of the setting."""
    with pytest.raises(FieldError, match=r"settings\[1\]") as refusal:
        validate(decode_json(body(setting(symbol="ETHUSDT"), setting(**changed))))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "40017"),
        (b"{", "40017"),
        (b"\xff", "40017"),
        (b"[]", "40017"),
        (b"[" * 100_000, "40017"),
        (body(traderId=None), "40019"),
        (body(traderId=123), "40020"),
        (body(traderID=TRADER), "40017"),
        (body(mode="expert"), "40020"),
        (body(autoCopy="yes"), "40020"),
        (body(settings=[]), "40019"),
        (body(settings=setting()), "40019"),
        (body(settings=["BTCUSDT"]), "40017"),
        (body(*(setting(symbol=f"S{index}") for index in range(11))), "40058"),
        (body(setting(), setting(traceValue="1")), "40017"),
    ],
)
def test_a_malformed_body_is_rejected_with_its_code(content: bytes, code: str) -> None:
    """No body raises another error, not even bytes that are not JSON."""
    with pytest.raises(FieldError) as refusal:
        validate(decode_json(content))
    assert refusal.value.code == code


def test_ten_settings_and_one_symbol_in_two_products_pass() -> None:
    """Only the pair of symbol and product type must be unique."""
    products = ("USDT-FUTURES", "USDC-FUTURES")
    settings = [setting(symbol=f"S{index // 2}", productType=products[index % 2]) for index in range(10)]
    assert validate(decode_json(body(*settings))).settings == settings


@pytest.mark.parametrize(
    "content", [b"", b"3", b"[]", b"{}", b'{"settings": 3, "traderId": null}', b'{"settings": [3]}']
)
def test_any_body_can_be_recorded(content: bytes) -> None:
    """The ledger records an arrival before its body is validated."""
    trader, values = summarize(decode_json(content))
    assert isinstance(trader, str)
    assert isinstance(values, tuple)


def test_a_valid_body_is_recorded_with_trader_and_trace_values() -> None:
    """A test can follow the order of changes by these values."""
    content = body(setting(traceValue="1"), setting(symbol="ETHUSDT", traceValue="2"))
    assert summarize(decode_json(content)) == (TRADER, ("1", "2"))
