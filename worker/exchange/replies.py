"""Classification of the exchange's replies. No I/O.

Nearly every rejection has HTTP status 400, so the body's `code` decides, by the table `codes.tsv`. Code "00000" is
success only if `data` is "success"; it can be "fail" (Bitget API documentation, "Set Copy Trade Settings" and "RestAPI
error codes", read December 2025).

Replies that the table does not cover:

    HTTP 429                            throttled, whatever the body
    a code that is not in the table     permanent with a 4xx status; otherwise transient: status and code contradict
    "00000" with a status but 200       transient, for the same reason
    no code of the exchange's form      transient: an HTML page, an empty or a truncated body, or {"code": 403} comes
                                        from a proxy or firewall, not from the exchange

A permanent error that is classified as transient costs retries until the change's deadline. They are safe, because the
endpoint sets values. A transient error that is classified as permanent would lose the change.
"""

import json
import re
from enum import StrEnum
from importlib import resources
from typing import Any

import msgspec


class ReplyClass(StrEnum):
    """The class of a reply, by which the worker decides what to do next."""

    SUCCESS = "success"
    """The change was applied."""
    TRANSIENT = "transient"
    """The same request may succeed later."""
    THROTTLED = "throttled"
    """Too many requests, of this user or of this IP."""
    CLOCK_SKEW = "clock_skew"
    """The timestamp was too far from the exchange's time."""
    CREDENTIALS = "credentials"
    """The user's API key is not accepted; all changes of the user would be rejected."""
    PERMANENT = "permanent"
    """The change is rejected, and would be again."""
    FAILED = "failed"
    """The code is "00000", but `data` is not "success": the change was not applied."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A classified reply.

    Attributes:
        reply_class: how to treat it.
        status: HTTP status.
        code: the exchange's code; None without a valid one.
        message: the exchange's message, or a description of a body without a code; at most 200 printable characters.
        request_time_ms: the exchange's time, Unix milliseconds; None if absent.
    """

    reply_class: ReplyClass
    status: int
    code: str | None
    message: str
    request_time_ms: int | None


class _Body(msgspec.Struct, rename="camel"):
    """The fields of all replies. They have any type, so that a malformed one does not hide the others."""

    code: Any = None
    data: Any = None
    msg: Any = None
    request_time: Any = None


MAX_MESSAGE_CHARS = 200
"""Covers every message in the documentation's table, and is short enough to store with every attempt."""

_OK = 200
_TOO_MANY_REQUESTS = 429
_MAX_CODE = 1_000_000  # documented codes have five digits, or six
_code_form = re.compile(r"[0-9]{5,6}")
# From 2017, before the exchange existed, to 2286, the end of 13 digits.
_TIMES_MS = range(1_500_000_000_000, 10_000_000_000_000)

_decoder = msgspec.json.Decoder(_Body)


def load_codes() -> dict[str, ReplyClass]:
    """Return the classes of known codes from `codes.tsv`."""
    lines = resources.files("worker.exchange").joinpath("codes.tsv").read_text("ascii").splitlines()
    _header, *rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {code: ReplyClass(name) for code, name, _source in rows}


CODES = load_codes()


def classify(status: int, body: bytes, charset: str | None = None) -> Reply:
    """Classify a reply. No body makes it raise.

    Args:
        status: HTTP status.
        body: the bytes received, decompressed.
        charset: as stated in its Content-Type.
    """
    parsed = _parse(body, charset)
    code = None if parsed is None else _code(parsed.code)
    if parsed is None or code is None:
        reply_class = ReplyClass.THROTTLED if status == _TOO_MANY_REQUESTS else ReplyClass.TRANSIENT
        message = f"HTTP {status} without a code: {_describe_body(body)}"
    else:
        reply_class = _classify_code(status, code, parsed.data)
        message = _printable(parsed.msg)
    return Reply(
        reply_class=reply_class,
        status=status,
        code=code,
        message=message,
        request_time_ms=None if parsed is None else _time_ms(parsed.request_time),
    )


def _classify_code(status: int, code: str, data: object) -> ReplyClass:
    """Apply the rules of the module's docstring to a reply with a code."""
    if status == _TOO_MANY_REQUESTS:
        return ReplyClass.THROTTLED
    known = CODES.get(code)
    if known is None:
        return ReplyClass.PERMANENT if 400 <= status < 500 else ReplyClass.TRANSIENT  # noqa: PLR2004 - HTTP's 4xx
    if known is not ReplyClass.SUCCESS:
        return known
    if status != _OK:
        return ReplyClass.TRANSIENT
    return ReplyClass.SUCCESS if data == "success" else ReplyClass.FAILED


def _parse(body: bytes, charset: str | None) -> _Body | None:
    """Return the fields of a JSON object; None for any other body."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        # ValueError: a number or text that Python cannot represent. RecursionError: very deep nesting.
        return _parse_leniently(body, charset)


def _parse_leniently(body: bytes, charset: str | None) -> _Body | None:
    """Return the fields of a JSON object in another encoding than UTF-8, or with control characters in its texts."""
    # The first guess follows from a byte order mark or zero bytes. Latin-1 fits whatever is ASCII but for its texts.
    for encoding in (json.detect_encoding(body), charset or "utf-8", "latin-1"):
        try:
            found = json.loads(body.decode(encoding), strict=False)
        except (LookupError, ValueError, RecursionError):  # LookupError: an unknown charset
            continue
        if not isinstance(found, dict):
            return None
        fields = {name: found.get(name) for name in ("code", "data", "msg")}
        return _Body(**fields, request_time=found.get("requestTime"))
    return None


def _code(value: object) -> str | None:
    """Return a code of the exchange's form, or of the table; some replies have a number instead of a text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_CODE:
        value = str(value)
    return value if isinstance(value, str) and (_code_form.fullmatch(value) or value in CODES) else None


def _time_ms(value: object) -> int | None:
    """Return `requestTime`: a string in the documentation, a number on the wire."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_TIMES_MS.stop)):
        value = int(value)
    return value if isinstance(value, int) and value in _TIMES_MS else None


def _printable(message: object) -> str:
    """Return a message cut to printable text that can be stored."""
    if not isinstance(message, str):
        return ""
    if not message.isprintable():
        message = "".join(char if char.isprintable() else " " for char in message[: 2 * MAX_MESSAGE_CHARS])
    return message[:MAX_MESSAGE_CHARS]


def _describe_body(body: bytes) -> str:
    """Describe a body without a code. The text is not copied: a proxy's page may quote the request's headers."""
    start = body[:64].lstrip().lower()
    if not start:
        return "empty body"
    if start.startswith(b"<"):
        return f"a page of {len(body)} bytes, from a proxy or firewall on the way"
    if start.startswith((b"{", b"[")):
        return f"{len(body)} bytes of JSON, truncated or of another form"
    return f"{len(body)} bytes that are not JSON"
