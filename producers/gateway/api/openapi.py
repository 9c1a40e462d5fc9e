"""The OpenAPI document of the gateway: what Litestar generates, with the bodies that handlers read themselves.

    python -m producers.gateway > producers/gateway/openapi.json

The copy is for programs that generate clients; a test compares it.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, get

from producers.gateway.api.schemas import BATCH_ID, CHANGES, ID, ID_IN_PATH, PINS, REF, SETTINGS, TTL, components
from producers.gateway.calls.bodies import CSV, JSON, NDJSON
from producers.gateway.calls.identity import MAX_BATCH_KEY_CHARS, MAX_BULK_KEY_CHARS, MAX_KEY_CHARS, key_pattern
from producers.gateway.calls.problems import MEDIA_TYPE
from producers.gateway.calls.streams import EVENTS

ROWS = {"type": "string", "description": "One item a line: a user ID, an object with a userId, or a change."}
LINES = {"type": "string", "description": "One change a line."}
RESULTS = {"type": "string", "description": "One result a line, in JSON."}
RESULT_TABLE = {"type": "string", "description": "A header, then one result a row."}
TABLE = {"type": "string", "description": "A header with user_id, then rows."}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/changes"): {JSON: "SettingsChange"},
    ("post", "/v1/changes:bulk"): {JSON: CHANGES, NDJSON: LINES},
    ("post", "/v1/batches"): {JSON: "NewBatch", NDJSON: ROWS, CSV: TABLE},
    ("put", "/v1/users/{user_id}/limit"): {JSON: "NewLimit"},
    ("put", "/v1/users/{user_id}/pin"): {JSON: "NewPin"},
    ("post", "/v1/pins:bulk"): {JSON: PINS},
    ("post", "/v1/pauses/pause"): {JSON: "PauseTarget"},
    ("post", "/v1/pauses/resume"): {JSON: "PauseTarget"},
    ("post", "/v1/dead-letters/replay"): {JSON: "Letters"},
    ("post", "/v1/dead-letters/drop"): {JSON: "Letters"},
}  # fmt: skip
"""What each call takes: the name of a message, or a schema, by media type."""

STREAMS = {
    "/v1/batches/{batch_id}/results": {
        JSON: {"$ref": REF.format(name="ResultsPage")},
        NDJSON: RESULTS,
        CSV: RESULT_TABLE,
    },
    "/v1/batches/{batch_id}/events": {EVENTS: {"type": "string", "description": "Events `result`, then `complete`."}},
}
ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("get", "/v1/overview"): {"$ref": REF.format(name="Overview")},
    ("get", "/v1/users/{user_id}"): {"$ref": REF.format(name="UserStatus")},
    ("get", "/v1/pauses"): {"type": "array", "items": {"$ref": REF.format(name="Pause")}},
    ("get", "/v1/dead-letters"): {"type": "array", "items": {"$ref": REF.format(name="DeadLetter")}},
    ("get", "/v1/dead-letters/{job_id}"): {"$ref": REF.format(name="DeadLetter")},
}
"""What is answered as a dict."""

ERRORS = {
    "400": "A parameter cannot be read, a header is there twice, or the host is not served.",
    "401": "There is no valid access key.",
    "403": "The access key does not permit this, or without keys a page of another origin calls.",
    "404": "There is no such thing, or it has expired.",
    "408": "The body came too slowly.",
    "409": "A batch has other content, is sealed or was cancelled; or a dead letter cannot be sent again.",
    "413": "The body is too large, or has too many items.",
    "415": "The body has another media type, or is compressed.",
    "422": "Something breaks a rule: the problem names the field, the rule and the value.",
    "429": "A lane is full, or a limit of the access key or of the gateway is reached: come again after `Retry-After`.",
    "431": "The request line and the headers are too large.",
    "500": "An error of the gateway itself, which its log has.",
    "503": "Redis is away, or full, or all connections are in use: come again after `Retry-After`.",
}
OF_BODIES = ("408", "409", "413", "415")
"""Answers of calls that take a body only."""

OPEN = ("/livez", "/v1/openapi.json")
OF_OPEN = ("400", "431", "500", "503")
"""Calls without an access key, and how they can fail."""

HEADERS = {
    "Idempotency-Key": "The same key with the same content adds nothing, and answers as the first time. With quotes or"
    " without; it has no slash and no comma.",
    "Prefer": "`wait=N`: answer with the result, if it comes within N seconds.",
    "Last-Event-ID": "The ID of the last event that was seen: the stream continues after it. It goes before `after`.",
}
TEXT: dict[str, Any] = {"type": "string"}
KEY, BULK_KEY, BATCH_KEY = (
    {"type": "string", "pattern": key_pattern(most)}
    for most in (MAX_KEY_CHARS, MAX_BULK_KEY_CHARS, MAX_BATCH_KEY_CHARS)
)
OF_CALLS: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/changes"): {"Idempotency-Key": KEY, "Prefer": TEXT},
    ("post", "/v1/changes:bulk"): {"Idempotency-Key": BULK_KEY},
    ("post", "/v1/batches"): {"Idempotency-Key": BATCH_KEY},
    ("post", "/v1/batches/{batch_id}/retry-failed"): {"Idempotency-Key": BATCH_KEY},
    ("get", "/v1/changes/{job_id}"): {"Prefer": TEXT},
    ("get", "/v1/batches/{batch_id}/events"): {"Last-Event-ID": TEXT},
}
"""The headers that each call reads, and their rules."""

PARAMETERS = {
    "job_id": ID_IN_PATH | {"description": "The ID of a change."},
    "batch_id": BATCH_ID | {"description": "The ID of a batch."},
    "user_id": ID_IN_PATH | {"description": "The ID of a user."},
    "ttlS": TTL | {"type": ["number", "null"]},
    "traderId": ID,
    "batchId": BATCH_ID,
    "code": ID | {"description": "The exchange's code of the result; `none` for those without one."},
}
"""Rules of parameters, by name."""

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
ERROR_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    "429": RETRY_AFTER,
    "503": RETRY_AFTER,
}
LOCATION = {"Location": {"description": "The path of what was made.", "schema": {"type": "string"}}}
APPLIED = {"Preference-Applied": {"description": "How long it waited, at most.", "schema": {"type": "string"}}}
SUCCESS_HEADERS: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/changes"): LOCATION | APPLIED,
    ("post", "/v1/batches"): LOCATION,
    ("post", "/v1/batches/{batch_id}/retry-failed"): LOCATION,
}
AT_ONCE = {
    "/v1/changes": "The change has its result: it came during `Prefer: wait`, or the same call was made before.",
    "/v1/batches": "The answer to a dry run; its `batchId` is null.",
}
"""What a 200 means where a 202 is usual."""

OF_CHANGE = {"job_id": "$response.body#/jobId"}
OF_BATCH = {"batch_id": "$response.body#/batchId"}
LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("post", "/v1/changes"): {"status": OF_CHANGE, "cancel": OF_CHANGE},
    ("post", "/v1/batches"): dict.fromkeys(("progress", "results", "cancel_batch", "retry_failed"), OF_BATCH),
}
"""Calls about what a call has made, and their parameters."""


def document(app: Litestar) -> dict[str, Any]:
    """Return the document."""
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["components"]["schemas"] = dict(sorted({**found["components"]["schemas"], **components()}.items()))
    found["components"]["securitySchemes"] = {
        "accessKey": {"type": "http", "scheme": "bearer", "description": "`ct_<ID>_<secret>`"}
    }
    found["security"] = [{"accessKey": []}]
    for path, calls in found["paths"].items():
        for method, call in calls.items():
            _complete_request(call, method, path)
            _complete_responses(call, method, path)
    return found


def _complete_request(call: dict[str, Any], method: str, path: str) -> None:
    """Add to a call what its handler does without Litestar: the body, headers, and rules of parameters."""
    if (method, path) in BODIES:
        content = {kind: {"schema": _schema(of)} for kind, of in BODIES[method, path].items()}
        call["requestBody"] = {"required": True, "content": content}
    for parameter in call.get("parameters", ()):
        rule = parameter["schema"]
        if {"type": "string"} in rule.get("oneOf", ()):  # "null" is a text like any other
            rule |= {"type": "string"}
            del rule["oneOf"]
        elif parameter["name"] in PARAMETERS:
            rule.pop("oneOf", None)
        rule |= PARAMETERS.get(parameter["name"], {})
        parameter["description"] = rule.pop("description", None) or parameter.get("description", "")
        if parameter["name"] == "settings":
            parameter["content"] = {JSON: {"schema": SETTINGS}}
            del parameter["schema"]
    for name, rule in OF_CALLS.get((method, path), {}).items():
        parameter = {"name": name, "in": "header", "required": False, "schema": rule, "description": HEADERS[name]}
        call.setdefault("parameters", []).append(parameter)


def _complete_responses(call: dict[str, Any], method: str, path: str) -> None:
    """Add to a call the answers and headers that its handler makes itself, those of errors, and links."""
    responses = call["responses"]
    if path in STREAMS and method == "get":
        responses["200"]["content"] = {kind: {"schema": of} for kind, of in STREAMS[path].items()}
    if (method, path) in ANSWERS:
        responses["200"]["content"] = {JSON: {"schema": ANSWERS[method, path]}}
    for success in responses.values():
        success["headers"] = SUCCESS_HEADERS.get((method, path), {})
        links = LINKS.get((method, path), {})
        if links:
            success["links"] = {name: {"operationId": name, "parameters": of} for name, of in links.items()}
    if path in AT_ONCE and method == "post":
        responses["200"] = dict(responses["202"], description=AT_ONCE[path])
        del responses["200"]["links"]
    problem = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}
    if path in OPEN:
        call["security"] = []
    for status, description in ERRORS.items():
        if path in OPEN and status not in OF_OPEN:
            continue
        if (method, path) in BODIES or status not in OF_BODIES or (status == "409" and path.endswith("retry-failed")):
            headers = ERROR_HEADERS.get(status, {})
            responses[status] = {"description": description, "headers": headers, "content": problem}


def _schema(of: str | dict[str, Any]) -> dict[str, Any]:
    return {"$ref": REF.format(name=of)} if isinstance(of, str) else of


@get("/openapi.json")
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of these calls, under the prefix that they are served at."""
    prefix = request.scope.get("root_path", "").rstrip("/")
    return document(request.app) | {"servers": [{"url": prefix or "/"}]}


ROUTES = [openapi]
