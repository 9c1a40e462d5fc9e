"""Signed requests of a client of the exchange: signed by Python's own hmac, not by the double's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp

from ops.exchange import Account, Accounts, ExchangeDouble
from ops.exchange.rules import SETTINGS_PATH

ALICE = Account(user="1001", api_key="alice-key", secret_key="alice-secret", passphrase="alice-pass")
ALICE_TOO = Account(user="1001", api_key="alice-key-2", secret_key="alice-secret-2", passphrase="alice-pass-2")
BOB = Account(user="1002", api_key="bob-key", secret_key="bob-secret", passphrase="bob-pass")
DEMO = Account(user="2001", api_key="demo-key", secret_key="demo-secret", passphrase="demo-pass", demo=True)
UNIFIED = Account(user="3001", api_key="uta-key", secret_key="uta-secret", passphrase="uta-pass", uta=True)
ACCOUNTS = Accounts([ALICE, ALICE_TOO, BOB, DEMO, UNIFIED])

TRADER = "123123123"


def setting(**changed: Any) -> dict[str, Any]:
    """Return the setting of the documentation's example, with some fields changed; None removes a field."""
    fields = {
        "symbol": "BTCUSDT",
        "productType": "USDT-FUTURES",
        "marginType": "trader",
        "marginCoin": "USDT",
        "leverType": "trader",
        "traceType": "amount",
        "traceValue": "330",
        "maxHoldSize": "5000",
    } | changed
    return {name: value for name, value in fields.items() if value is not None}


def body(*settings: dict[str, Any], **changed: Any) -> bytes:
    """Return a request body for TRADER; without settings, that of the documentation's example."""
    document = {"traderId": TRADER, "settings": list(settings) or [setting()]} | changed
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def headers(
    account: Account,
    content: bytes = b"",
    *,
    method: str = "POST",
    target: str = SETTINGS_PATH,
    at_ms: int | None = None,
) -> dict[str, str]:
    """Return the headers of a request signed with an account's key, by default now."""
    timestamp = str(time.time_ns() // 1_000_000 if at_ms is None else at_ms)
    digest = hmac.new(account.secret_key.encode(), f"{timestamp}{method}{target}".encode() + content, hashlib.sha256)
    signed = {
        "ACCESS-KEY": account.api_key,
        "ACCESS-SIGN": base64.b64encode(digest.digest()).decode(),
        "ACCESS-TIMESTAMP": timestamp,
        "ACCESS-PASSPHRASE": account.passphrase,
        "Content-Type": "application/json",
    }
    return signed | ({"paptrading": "1"} if account.demo else {})


async def put(
    client: aiohttp.ClientSession, double: ExchangeDouble, account: Account = ALICE, value: str = "1"
) -> tuple[int, str]:
    """Send a change with one trace value; return the HTTP status and the body of the reply."""
    content = body(setting(traceValue=value))
    signed = headers(account, content, at_ms=double.clock.now_ms())
    async with client.post(double.url + SETTINGS_PATH, data=content, headers=signed) as response:
        return response.status, await response.text()
