"""The page of the gateway shows bodies that the gateway takes and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec

from producers import JobResult
from tests.support.gateway import CSV

PAGE = (Path(__file__).parents[4] / "producers/gateway/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.partition("### Bodies")[2].partition("### Errors")[0], re.DOTALL)


async def test_the_bodies_of_the_page_are_those_of_the_gateway(gateway: httpx.AsyncClient) -> None:
    """Byte for byte what a program sends; the answers but for the order of their fields."""
    (_, sent), (_, accepted), (_, rows), (_, batch), (_, many), (_, event) = BLOCKS
    change: dict[str, Any] = json.loads(sent)
    untraded = {name: value for name, value in change.items() if name != "traderId"}
    params = {"traderId": change["traderId"], "settings": json.dumps(change["settings"])}

    single = await gateway.post("/v1/changes", content=sent, headers=named("order-7", "application/json"))
    fan_out = await gateway.post("/v1/batches", params=params, content=rows, headers=named("july", CSV))
    bulk = await gateway.post("/v1/changes:bulk", json=[change, untraded], headers=named("many", "application/json"))

    assert single.json() == json.loads(accepted)
    assert fan_out.json() == json.loads(batch)
    assert bulk.json() == json.loads(many)
    data = event.partition("data: ")[2].strip()
    assert msgspec.json.encode(msgspec.json.decode(data, type=JobResult)).decode() == data


def named(key: str, media_type: str) -> dict[str, str]:
    """Return the headers of a call."""
    return {"Idempotency-Key": key, "Content-Type": media_type}
