"""The body of the request."""

from __future__ import annotations

import json

from producers.contract.messages import CopySetting, SettingsChange
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, TIME_PATH, encode_body

EXAMPLE = SettingsChange(
    user_id="1001",
    trader_id="123123123",
    settings=[
        CopySetting(
            symbol="BTCUSDT",
            product_type="USDT-FUTURES",
            margin_type="trader",
            margin_coin="USDT",
            lever_type="trader",
            trace_type="amount",
            trace_value="330",
            max_hold_size="5000",
        )
    ],
)


def test_the_body_of_the_documented_example_is_reproduced_byte_for_byte() -> None:
    """The example's order, without spaces and with no other field."""
    assert encode_body(EXAMPLE) == (
        b'{"traderId":"123123123","settings":[{"symbol":"BTCUSDT","productType":"USDT-FUTURES","marginType":"trader",'
        b'"marginCoin":"USDT","leverType":"trader","traceType":"amount","traceValue":"330","maxHoldSize":"5000"}]}'
    )


def test_optional_fields_are_sent_when_they_are_given() -> None:
    """`autoCopy` and `mode` come between the trader and the settings."""
    change = SettingsChange(
        user_id="1001", trader_id="7", auto_copy="on", mode="basic", settings=[*EXAMPLE.settings, *EXAMPLE.settings]
    )

    body = json.loads(encode_body(change))

    assert list(body) == ["traderId", "autoCopy", "mode", "settings"]
    assert (body["autoCopy"], body["mode"], len(body["settings"])) == ("on", "basic", 2)


def test_the_user_is_not_in_the_body() -> None:
    """The exchange identifies the user by the API key."""
    assert b"1001" not in encode_body(EXAMPLE)


def test_the_addresses_are_the_documented_ones() -> None:
    """Method and path are part of what is signed."""
    assert (METHOD, SETTINGS_PATH) == ("POST", "/api/v2/copy/mix-follower/settings")
    assert TIME_PATH == "/api/v2/public/time"
