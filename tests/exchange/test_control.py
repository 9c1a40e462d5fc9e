"""The control paths, by which another process watches and changes the double."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from ops.exchange import ExchangeDouble
from tests.support.signed_requests import TRADER, put, setting


async def test_another_process_can_control_the_double(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """None of its requests is recorded."""
    control = f"{double.url}/_double"
    async with client.post(f"{control}/faults", json=[{"kind": "fail", "first": 1}]) as response:
        assert response.status == 200
    await put(client, double)
    await put(client, double, value="2")
    async with client.get(f"{control}/faults") as response:
        assert await response.json() == [{"fault": {"kind": "fail", "first": 1}, "remaining": 0}]
    async with client.get(f"{control}/report") as response:
        report = await response.json()
    assert (report["arrivals"], report["accepted"], report["by_fault"]) == (2, 1, {"fail": 1})
    async with client.get(f"{control}/arrivals") as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert [(line["user"], line["fault"], line["values"]) for line in lines] == [
        ("1001", "fail", ["1"]),
        ("1001", "", ["2"]),
    ]
    async with client.get(f"{control}/settings/1001") as response:
        assert await response.json() == {TRADER: [setting(traceValue="2")]}
    await client.post(f"{control}/clock", json={"skewMs": 7})
    assert double.clock.skew_ms == 7
    await client.post(f"{control}/reset")
    assert double.ledger.report().arrivals == 0


async def test_keys_can_be_replaced_while_it_runs(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """The old keys become unknown, and their user's settings are kept."""
    await put(client, double)
    kept = double.exchange.settings_for("1001")
    text = '[users.1001]\napi_key = "another"\nsecret_key = "s"\npassphrase = "p"\n'
    async with client.post(f"{double.url}/_double/accounts", data=text) as response:
        assert response.status == 200
    await put(client, double, value="2")

    assert [arrival.code for arrival in double.ledger.arrivals] == ["00000", "40037"]
    assert double.exchange.settings_for("1001") == kept


async def test_the_double_can_be_unreachable_for_a_while(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """New connections are refused for the given time; then it listens again at the same URL."""
    url = double.url
    async with client.post(f"{url}/_double/away", json={"ms": 400}) as response:
        assert response.status == 200
    refused = 0
    async with asyncio.timeout(20):
        while True:
            try:
                async with client.get(f"{url}/_double/report") as response:
                    assert response.status == 200
            except aiohttp.ClientConnectorError:
                refused += 1
            else:
                if refused:
                    break
            await asyncio.sleep(0.01)

    assert refused > 0
    assert double.url == url


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "nothing", b"", 404),
        ("POST", "faults", b"[", 400),
        ("POST", "faults", b'[{"kind": "http_418"}]', 400),
        ("POST", "clock", b'{"skew": 1}', 400),
        ("POST", "accounts", b"[users]", 400),
        ("POST", "accounts", b"\xff", 400),
        ("POST", "away", b'{"s": 1}', 400),
    ],
)
async def test_a_malformed_control_request_is_rejected(
    client: aiohttp.ClientSession, double: ExchangeDouble, method: str, path: str, content: bytes, status: int
) -> None:
    """The reply names the path, and no fault is added."""
    async with client.request(method, f"{double.url}/_double/{path}", data=content) as response:
        assert response.status == status
        assert path in (await response.json())["error"]
    assert double.faults.remaining() == []
