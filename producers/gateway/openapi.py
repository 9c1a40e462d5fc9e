"""The OpenAPI document of the gateway: what Litestar generates, with the bodies that handlers read themselves.

    python -m producers.gateway > producers/gateway/openapi.json

The copy is for programs that generate clients; a test compares it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from litestar import Litestar, Request, get

from producers.contract.schema import schema
from producers.gateway.bodies import CSV, JSON, NDJSON
from producers.gateway.fan_outs import NewBatch
from producers.gateway.letters import Letters
from producers.gateway.operating import NewLimit, PauseTarget
from producers.gateway.problems import MEDIA_TYPE, Problem
from producers.gateway.results import EVENTS, ResultsPage

REF = "#/components/schemas/{name}"
ROWS = {"type": "string", "description": "One item a line: a user ID, an object with a userId, or a change."}
TABLE = {"type": "string", "description": "A header with user_id, then rows."}
CHANGES = {"type": "array", "items": {"$ref": REF.format(name="SettingsChange")}}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/changes"): {JSON: "SettingsChange"},
    ("post", "/v1/changes:bulk"): {JSON: CHANGES, NDJSON: ROWS},
    ("post", "/v1/batches"): {JSON: "NewBatch", NDJSON: ROWS, CSV: TABLE},
    ("put", "/v1/users/{user_id}/limit"): {JSON: "NewLimit"},
    ("post", "/v1/pauses/pause"): {JSON: "PauseTarget"},
    ("post", "/v1/pauses/resume"): {JSON: "PauseTarget"},
    ("post", "/v1/dead-letters/replay"): {JSON: "Letters"},
    ("post", "/v1/dead-letters/drop"): {JSON: "Letters"},
}  # fmt: skip
"""What each call takes: the name of a message, or a schema, by media type."""

STREAMS = {
    "/v1/batches/{batch_id}/results": {JSON: {"$ref": REF.format(name="ResultsPage")}, NDJSON: ROWS, CSV: ROWS},
    "/v1/batches/{batch_id}/events": {EVENTS: {"type": "string", "description": "Events `result`, then `complete`."}},
}
ERRORS = {
    "400": "A parameter cannot be read.",
    "401": "There is no valid access key.",
    "403": "The access key does not permit this.",
    "404": "There is no such thing, or it has expired.",
    "409": "A batch has other content, is sealed or was cancelled; or a dead letter cannot be sent again.",
    "413": "The body is too large, or has too many items.",
    "415": "The body has another media type.",
    "422": "Something breaks a rule: the problem names the field, the rule and the value.",
    "429": "A lane is full, or a limit of the access key or of the gateway is reached: come again after `Retry-After`.",
    "503": "Redis is away, or full: come again after `Retry-After`.",
}
OF_BODIES = ("409", "413", "415")
"""Answers of calls that take a body only."""

HEADERS = {
    "Idempotency-Key": "The same key with the same content adds nothing, and answers as the first time.",
    "Prefer": "`wait=N`: answer with the result, if it comes within N seconds.",
    "Last-Event-ID": "The ID of the last event that was seen: the stream continues after it.",
}
OF_CALLS = {
    ("post", "/v1/changes"): ("Idempotency-Key", "Prefer"),
    ("post", "/v1/changes:bulk"): ("Idempotency-Key",),
    ("post", "/v1/batches"): ("Idempotency-Key",),
    ("get", "/v1/changes/{job_id}"): ("Prefer",),
    ("get", "/v1/batches/{batch_id}/events"): ("Last-Event-ID",),
}


def document(app: Litestar) -> dict[str, Any]:
    """Return the document."""
    found: dict[str, Any] = app.openapi_schema.to_schema()
    components = found["components"]
    _, own = msgspec.json.schema_components(
        (NewBatch, NewLimit, PauseTarget, Letters, Problem, ResultsPage), ref_template=REF
    )
    contract = json.loads(json.dumps(schema()["$defs"]).replace("#/$defs/", "#/components/schemas/"))
    components["schemas"] = dict(sorted({**components["schemas"], **own, **contract}.items()))
    components["securitySchemes"] = {
        "accessKey": {"type": "http", "scheme": "bearer", "description": "`ct_<ID>_<secret>`"}
    }
    found["security"] = [{"accessKey": []}]
    for path, calls in found["paths"].items():
        for method, call in calls.items():
            _complete(call, method, path)
    return found


def _complete(call: dict[str, Any], method: str, path: str) -> None:
    """Add to a call what its handler does without Litestar: the body, headers, and the answers of errors."""
    body = BODIES.get((method, path))
    if body is not None:
        call["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": _schema(of)} for kind, of in body.items()},
        }
    for name in OF_CALLS.get((method, path), ()):
        parameter = {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        call.setdefault("parameters", []).append(parameter | {"description": HEADERS[name]})
    if path in STREAMS:
        call["responses"]["200"]["content"] = {kind: {"schema": of} for kind, of in STREAMS[path].items()}
    if path in ("/v1/changes", "/v1/batches") and method == "post":
        success = dict(call["responses"]["202"], description="The answer to `Prefer: wait`, or to a dry run.")
        call["responses"]["200"] = success
    problem = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}
    for status, description in ERRORS.items():
        if body is not None or status not in OF_BODIES:
            call["responses"][status] = {"description": description, "content": problem}


def _schema(of: str | dict[str, Any]) -> dict[str, Any]:
    return {"$ref": REF.format(name=of)} if isinstance(of, str) else of


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of these calls, under the prefix that they are served at."""
    prefix = request.scope.get("root_path", "").rstrip("/")
    return document(request.app) | {"servers": [{"url": prefix or "/"}]}


ROUTES = [openapi]
