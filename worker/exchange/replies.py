"""What a reply of the exchange means for the change it answers. No I/O.

The HTTP status says little: nearly every refusal is a 400. The body's `code` decides, whatever the status, by the table
`codes.tsv`; `code` "00000" is success only if `data` is "success" too, for it may be "fail" (Bitget API documentation,
"Set Copy Trade Settings" and "RestAPI error codes", read December 2025).

Where the table has no answer:

    HTTP 429                            throttled, whatever the body
    a code that is not in the table     4xx: permanent. Else: transient, for status and code contradict each other
    "00000" at another status than 200  transient, for the same reason
    no code that can be read            transient: an HTML page, an empty or a cut body come from something between us
                                        and the exchange, and are not its verdict on this change

To take something for transient by mistake costs retries until the change's deadline; they are safe, as the endpoint
sets values. To take something for permanent by mistake would cost the change.
"""

from enum import StrEnum
from importlib import resources
from typing import Any

import msgspec


class ReplyClass(StrEnum):
    """What to do about a reply."""

    SUCCESS = "success"
    """Applied."""
    TRANSIENT = "transient"
    """Not now: the same request may succeed later."""
    THROTTLED = "throttled"
    """Too many requests, of this user or of this address."""
    CLOCK_SKEW = "clock_skew"
    """The timestamp was too far from the exchange's time."""
    CREDENTIALS = "credentials"
    """This user may not do this with this key: none of its changes would pass."""
    PERMANENT = "permanent"
    """This change is refused and would be again."""
    FAILED = "failed"
    """Understood, yet not applied: "00000" without `data` "success"."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, judged.

    Attributes:
        reply_class: what to do.
        status: HTTP status.
        code: the exchange's code; None if there was none that could be read.
        message: the exchange's message, or what the body was instead; at most 200 printable characters.
        request_time_ms: the exchange's time, Unix milliseconds; None if the reply has none.
    """

    reply_class: ReplyClass
    status: int
    code: str | None
    message: str
    request_time_ms: int | None


class _Body(msgspec.Struct, rename="camel"):
    """The shape of all replies. Any value is let in: a reply is judged by what can be read of it."""

    code: Any = None
    data: Any = None
    msg: Any = None
    request_time: Any = None


MESSAGE_CHARS = 200
"""Long enough for every message of the documentation's table, short enough to keep one with every attempt."""

_OK = 200
_TOO_MANY_REQUESTS = 429
_CODE_CHARS = 16  # the documented codes have 5; what is much longer is no code
_TIMES_MS = range(1_500_000_000_000, 10_000_000_000_000)  # 2017, before the exchange was; 2286, the end of 13 digits

_decoder = msgspec.json.Decoder(_Body)


def load_codes() -> dict[str, ReplyClass]:
    """The table of codes that is part of this package."""
    lines = resources.files("worker.exchange").joinpath("codes.tsv").read_text("ascii").splitlines()
    _header, *rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {code: ReplyClass(name) for code, name, _source in rows}


CODES = load_codes()


def classify(status: int, body: bytes) -> Reply:
    """Judges a reply. It never raises, whatever the body.

    Args:
        status: HTTP status.
        body: the bytes received, decompressed.
    """
    parsed = _parse(body)
    code = None if parsed is None else _code(parsed.code)
    if parsed is None or code is None:
        reply_class = ReplyClass.THROTTLED if status == _TOO_MANY_REQUESTS else ReplyClass.TRANSIENT
        message = f"HTTP {status} without a code: {_appearance(body)}"
    else:
        reply_class = _judge(status, code, parsed.data)
        message = _shown(parsed.msg)
    return Reply(
        reply_class=reply_class,
        status=status,
        code=code,
        message=message,
        request_time_ms=None if parsed is None else _time_ms(parsed.request_time),
    )


def _judge(status: int, code: str, data: object) -> ReplyClass:
    """The rules of the module's docstring, for a reply with a code."""
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


def _parse(body: bytes) -> _Body | None:
    """The body, if it is a JSON object."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        # A ValueError is a number or text beyond what Python can hold; a RecursionError a very deep nesting.
        return None


def _code(value: object) -> str | None:
    """The code as text: the documentation writes it as a string, some replies have a number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_CODE_CHARS:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= _CODE_CHARS and value.isascii() and value.isprintable():
        return value
    return None


def _time_ms(value: object) -> int | None:
    """`requestTime`: a string in the documentation, a number on the wire."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_TIMES_MS.stop)):
        value = int(value)
    return value if isinstance(value, int) and value in _TIMES_MS else None


def _shown(message: object) -> str:
    """A message that can be kept and printed."""
    if not isinstance(message, str):
        return ""
    if not message.isprintable():
        message = "".join(char if char.isprintable() else " " for char in message[: 2 * MESSAGE_CHARS])
    return message[:MESSAGE_CHARS]


def _appearance(body: bytes) -> str:
    """What a body without a code looks like. Its text is not taken over: such a page may quote our headers."""
    start = body[:64].lstrip().lower()
    if not start:
        return "empty body"
    if start.startswith(b"<"):
        return f"a page of {len(body)} bytes, from a proxy or firewall on the way"
    if start.startswith((b"{", b"[")):
        return f"{len(body)} bytes of JSON that is cut or of another shape"
    return f"{len(body)} bytes that are not JSON"
