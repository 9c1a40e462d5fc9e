"""Requests that are generated from the OpenAPI document: each answer is one that the document says.

GENERATED_REQUESTS=500 pytest tests/integration/producers/gateway/test_generated_requests.py   # more of each call
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from producers.contract.access_keys import Scope
from producers.gateway import GatewaySettings, create_app
from producers.gateway.api.openapi import document
from tests.support.gateway import CSV, NDJSON, access_key, bearer, listening, port_of

MANY = int(os.environ.get("GENERATED_REQUESTS", "0"))
PROFILE = settings(
    max_examples=MANY or 6,
    derandomize=not MANY,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""The same requests in each run, unless more are asked for."""

EVENTS = "/v1/batches/{batch_id}/events"
"""A stream of a batch that exists does not end, so that its call is tested by hand (test_results.py)."""

INEXPRESSIBLE = (
    "must not repeat a (symbol, productType)",
    "must be a cursor of batch",
    "must be empty, since JSON has these fields",
    "was accepted before with other content",
    "must not contain",
)
"""Rules over several fields, over what is in Redis, or within text, which a schema cannot say."""

CHECKS: list[schemathesis.CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.ignored_auth,
]


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_: schemathesis.SerializationContext, value: object) -> bytes:
    """Return a body of rows: text as it is, anything else as JSON."""
    return value.encode(errors="surrogateescape") if isinstance(value, str) else msgspec.json.encode(value)


schema = schemathesis.openapi.from_dict(document(create_app(GatewaySettings()))).exclude(path=EVENTS)
schema.config.generation.update(with_security_parameters=False, allow_extra_parameters=False)


@pytest.fixture(scope="module")
def gateway(valkey_server: str) -> Iterator[tuple[str, str]]:
    """The address of a gateway, and an access key of it. Its event loop runs beside the test's."""
    ready, done = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        app = create_app(GatewaySettings(redis_dsn=valkey_server, gateway_wait_s=0.01))
        redis = Redis.from_url(valkey_server)
        await redis.flushall()
        found.append(await access_key(redis, *Scope))
        await redis.aclose()
        async with listening(app) as serving:
            found.append(f"http://127.0.0.1:{port_of(serving)}")
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield found[1], found[0]
    done.set()
    thread.join()


@schema.parametrize()
@PROFILE
def test_each_answer_is_one_that_the_document_says(case: schemathesis.Case[Any], gateway: tuple[str, str]) -> None:
    """No 500, no other status, media type or body; what the schema permits is accepted, and the rest refused."""
    address, key = gateway
    headers = bearer(key)
    answer = case.call(base_url=address, headers=headers, timeout=10)
    text = answer.content.decode()
    excluded: list[schemathesis.CheckFunction] = []
    if case.media_type in (NDJSON, CSV):  # to a schema, any text is as good as another
        excluded += [checks.positive_data_acceptance, checks.negative_data_rejection]
    if answer.status_code == 422 and any(rule in text for rule in INEXPRESSIBLE):
        excluded.append(checks.positive_data_acceptance)
    if answer.status_code < 300 and '"refused":[{' in text:  # an item of a body is refused by itself
        excluded.append(checks.negative_data_rejection)
    case.validate_response(answer, checks=CHECKS, excluded_checks=excluded, headers=headers)
