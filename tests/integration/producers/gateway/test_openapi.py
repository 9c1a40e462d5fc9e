"""The OpenAPI document of the gateway: current, whole, and served."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

from producers.gateway import GatewaySettings, create_app
from producers.gateway.api.openapi import BODIES, ERRORS, OF_CALLS, OPEN, STREAMS, document

COPY = Path(__file__).parents[4] / "producers" / "gateway" / "openapi.json"


def current() -> dict[str, Any]:
    """Return the document of the code."""
    return document(create_app(GatewaySettings()))


def test_the_copy_of_the_document_is_current() -> None:
    """Python -m producers.gateway.api.openapi > producers/gateway/openapi.json."""
    assert json.loads(COPY.read_text("utf-8")) == current()


def test_every_reference_leads_to_a_schema() -> None:
    """And every call is described, with its errors as problems."""
    found = current()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))

    assert references <= found["components"]["schemas"].keys()
    for path, calls in found["paths"].items():
        for call in calls.values():
            assert call["description"]
            assert ({"503"} if path in OPEN else {"401", "403", "422", "503"}) <= call["responses"].keys()
            for status, answer in call["responses"].items():
                assert status not in ERRORS or list(answer["content"]) == ["application/problem+json"]


def test_every_call_that_takes_a_body_says_which() -> None:
    """Handlers read bodies themselves, so each is named beside the document."""
    found = {(method, path) for path, calls in current()["paths"].items() for method in calls}
    without_body = {call for call in found if call[0] in ("post", "put")} - BODIES.keys()

    assert BODIES.keys() | OF_CALLS.keys() <= found
    assert {path for _, path in found} >= STREAMS.keys()
    assert all(path.endswith(("/cancel", "/retry-failed", "/pause", "/resume")) for _, path in without_body)


def test_the_calls_without_a_key_are_in_it_and_say_so() -> None:
    """A key that the document asks for would be sent to them."""
    paths = current()["paths"]

    assert {path for path, calls in paths.items() if calls.get("get", {}).get("security") == []} == set(OPEN)


def test_bodies_and_answers_are_described_as_what_they_are() -> None:
    """Results are no items of a fan-out, and a batch has no wait."""
    paths = current()["paths"]
    results = paths["/v1/batches/{batch_id}/results"]["get"]["responses"]["200"]["content"]
    lines = paths["/v1/changes:bulk"]["post"]["requestBody"]["content"]["application/x-ndjson"]

    assert "result" in results["text/csv"]["schema"]["description"]
    assert "result" in results["application/x-ndjson"]["schema"]["description"]
    assert "userId" not in lines["schema"]["description"]
    assert "dry run" in paths["/v1/batches"]["post"]["responses"]["200"]["description"]


async def test_the_document_is_served_without_a_key(gateway: httpx.AsyncClient) -> None:
    """A generator of clients asks for it."""
    answer = await gateway.get("/v1/openapi.json")

    assert (answer.status_code, answer.json()["openapi"]) == (200, "3.1.0")
