"""The paths by which another process watches and steers the double."""

from __future__ import annotations

import json

import aiohttp
import pytest

from ops.exchange import ExchangeDouble
from tests.exchange.signed_requests import TRADER, put, setting


async def test_the_double_can_be_steered_from_another_process(
    client: aiohttp.ClientSession, double: ExchangeDouble
) -> None:
    """Report, arrivals, settings, faults, clock and reset; none of these requests is recorded."""
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


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "nothing", b"", 404),
        ("POST", "faults", b"[", 400),
        ("POST", "faults", b'[{"kind": "http_418"}]', 400),
        ("POST", "clock", b'{"skew": 1}', 400),
    ],
)
async def test_a_control_request_that_makes_no_sense_is_told_so(
    client: aiohttp.ClientSession, double: ExchangeDouble, method: str, path: str, content: bytes, status: int
) -> None:
    """And changes nothing."""
    async with client.request(method, f"{double.url}/_double/{path}", data=content) as response:
        assert response.status == status
        assert path in (await response.json())["error"]
    assert double.faults.remaining() == []
