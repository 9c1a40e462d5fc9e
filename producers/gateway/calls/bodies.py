"""Bodies of requests: their media type and their size."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from producers.gateway.calls.problems import BodyTooLarge, InvalidBody, WrongMediaType
from producers.gateway.calls.wording import place_and_rule

T = TypeVar("T")

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
_SPELLINGS = {
    JSON: JSON,
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    CSV: CSV,
}
_match_wait = re.compile(r"(?:.*[,;])?\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[,;].*)?", re.IGNORECASE).fullmatch


def media_type(request: Request[Any, Any, Any], *taken: str) -> str:
    """Return which of the media types a body has.

    Raises:
        WrongMediaType: another one, or none.
    """
    coding = request.headers.get("content-encoding", "identity").strip()
    if coding.lower() != "identity":
        raise WrongMediaType(f"the body must not be compressed; got {coding}")
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = _SPELLINGS.get(given)
    if found not in taken:
        raise WrongMediaType(f"the body must be {' or '.join(taken)}; got {given or 'no Content-Type'}")
    return found


async def read_json(request: Request[Any, Any, Any], limit: int) -> bytes:
    """Return a body of JSON.

    Raises:
        WrongMediaType: it is something else.
        BodyTooLarge: it is larger than `limit` bytes.
    """
    media_type(request, JSON)
    return await read_body(request, limit)


async def read_body(request: Request[Any, Any, Any], limit: int) -> bytes:
    """Return a body.

    Raises:
        BodyTooLarge: it is larger than `limit` bytes.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"the body must be at most {limit:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def decode(body: bytes, kind: type[T]) -> T:
    """Return the message in a body of JSON.

    Raises:
        InvalidBody: it is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise _invalid_body(body, str(exc)) from exc


def _invalid_body(body: bytes, message: str) -> InvalidBody:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:  # may come after what `message` is about
        return InvalidBody("body", f"must be JSON ({exc})", body)
    field, rule = place_and_rule(message)
    return InvalidBody(field or "body", rule, value.get(field) if field else value)


def preferred_wait_s(request: Request[Any, Any, Any], most_s: float) -> float:
    """Return how long the caller prefers to wait (`Prefer: wait=N`, RFC 7240, seconds), at most so long; 0 if not."""
    found = _match_wait(",".join(request.headers.getall("prefer", [])))
    return min(float(found[1]), most_s) if found else 0.0
