"""Log lines: readable, one each, impossible to forge, and without secrets."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

from producers.logs import (
    FIELD_CHARS,
    FORMATTERS,
    MAX_FIELDS,
    MESSAGE_CHARS,
    TRACEBACK_CHARS,
    ConsoleFormatter,
    JsonFormatter,
    log_fields,
)
from worker.credentials.model import Credentials
from worker.exchange.replies import ReplyClass
from worker.exchange.signing import headers
from worker.logs import Event
from worker.secret import HIDDEN, Secret

HUSH = "do-not-tell-0123456789"
CREDENTIALS = Credentials(user_id="1001", api_key=Secret(HUSH), secret_key=Secret(HUSH), passphrase=Secret(HUSH))
FORGED = "fine\n2026-01-01 00:00:00,000 CRITICAL worker all is lost"
UNPRINTABLE = ["\n", "\r", "\x1b[2J", "\x00", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]


def record(message: str = "lane %s waits", *args: object, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "worker.attempt.attempt", logging.INFO, __file__, 1, message, args or None, attributes.pop("exc", None)
    )
    made.created, made.msecs = 1_790_000_000.0625, 62.5
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def raised(exc: Exception) -> Any:
    """Return the exception information of an exception that was caught."""
    try:
        raise exc
    except type(exc):
        return sys.exc_info()


def told(line: str) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(line)
    return decoded


def test_a_json_line_has_the_time_in_utc_and_the_fields_of_the_call() -> None:
    """Numbers and booleans keep their types, and the time has milliseconds."""
    extra = log_fields(Event.REQUEUED, lane="1001:t", code="40725", attempt=2, took_ms=31.5, again=True)

    line = JsonFormatter().format(record("lane %s waits", "1001:t", **extra))

    assert told(line) == {
        "ts": "2026-09-21T14:13:20.062Z",
        "level": "INFO",
        "logger": "worker.attempt.attempt",
        "event": "requeued",
        "message": "lane 1001:t waits",
        "lane": "1001:t",
        "code": "40725",
        "attempt": 2,
        "took_ms": 31.5,
        "again": True,
    }


def test_a_console_line_has_time_level_logger_and_message() -> None:
    """Event and fields are left out, since people read it."""
    line = ConsoleFormatter().format(record("lane %s waits", "1001:t", **log_fields(Event.REQUEUED, lane="1001:t")))

    assert line.endswith(",062 INFO worker.attempt.attempt lane 1001:t waits")


def test_a_field_that_is_none_is_left_out() -> None:
    """A caller can pass every field without checking whether its value is known."""
    assert "code" not in told(JsonFormatter().format(record("x", **log_fields(Event.FINISHED, code=None))))


def test_an_enumeration_member_is_logged_as_its_value() -> None:
    """The line has `transient`, not the name of the member."""
    line = JsonFormatter().format(record("x", **log_fields(Event.REQUEUED, verdict=ReplyClass.TRANSIENT)))

    assert told(line)["verdict"] == "transient"


def test_fields_of_a_call_cannot_replace_the_line_s_own() -> None:
    """Readers can rely on `level`, `ts` and `message`."""
    line = told(
        JsonFormatter().format(record("x", **log_fields(Event.FINISHED, level="none", ts="never", message="y")))
    )

    assert (line["level"], line["message"]) == ("INFO", "x")


@pytest.mark.parametrize("form", FORMATTERS)
@pytest.mark.parametrize("unprintable", UNPRINTABLE, ids=ascii)
def test_unprintable_characters_are_escaped_in_a_line(form: str, unprintable: str) -> None:
    """From messages, arguments, fields and exceptions."""
    made = record(f"a{unprintable}%s", f"b{unprintable}", exc=raised(ValueError(f"c{unprintable}")))
    vars(made).update(log_fields(cast("Event", f"e{unprintable}"), lane=f"d{unprintable}"))

    text = FORMATTERS[form]().format(made)

    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  | ") for line in lines[1:])
    if form == "json":
        line = told(text)
        parts = [line["message"], line["event"], line["lane"], *line["exception"].split("\n")]
        assert len(lines) == 1
        assert all(part.isprintable() for part in parts)


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_line_break_from_the_exchange_forges_no_line(form: str) -> None:
    """Neither in the message nor in the traceback."""
    text = FORMATTERS[form]().format(record("ended: %s", FORGED, exc=raised(ValueError(FORGED))))

    assert not [line for line in text.split("\n") if line.startswith("2026-01-01")]


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_line_has_a_maximum_length(form: str) -> None:
    """Message, traceback, and the number and length of fields are bounded; a cut text states its length."""
    many = log_fields(cast("Event", "e" * 10_000), **{f"f{number}": "\U000e0001" * 10_000 for number in range(100)})
    text = FORMATTERS[form]().format(record("%s", "\n" * 1_000_000, exc=raised(ValueError("v" * 1_000_000)), **many))

    assert len(text) < 2 * (MESSAGE_CHARS + TRACEBACK_CHARS + MAX_FIELDS * FIELD_CHARS + 1000)
    assert "(1000000 characters)" in text


def test_the_end_of_a_long_traceback_is_kept() -> None:
    """The error itself is at the end."""
    error = ValueError("many\n" * TRACEBACK_CHARS + "the end")

    assert told(JsonFormatter().format(record("x", exc=raised(error))))["exception"].endswith("the end")


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_call_with_wrong_arguments_still_logs_a_line(form: str) -> None:
    """It has the template without the arguments."""
    assert "lane %s waits" in FORMATTERS[form]().format(record("lane %s waits", 1, 2))


def test_numbers_that_json_lacks_become_text() -> None:
    """An integer beyond 64 bits does; NaN has no value in the line."""
    line = told(JsonFormatter().format(record("x", **log_fields(Event.FINISHED, a=float("nan"), b=2**70, c=7))))

    assert (line.get("a"), line["b"], line["c"]) == (None, str(2**70), 7)


@dataclass
class Holder:
    """A value that holds credentials."""

    credentials: Credentials


class Struct(msgspec.Struct):
    """A value that holds a secret."""

    secret: Secret


SIGNED = headers(CREDENTIALS, 1, "POST", "/path", b"{}")


@pytest.mark.parametrize("form", FORMATTERS)
@pytest.mark.parametrize("style", ["%s", "%r", "%.200s"])
@pytest.mark.parametrize(
    "value",
    [
        Secret(HUSH),
        CREDENTIALS,
        SIGNED,
        {"key": Secret(HUSH), Secret(HUSH): [CREDENTIALS]},
        [(Secret(HUSH),), {CREDENTIALS}],
        Holder(CREDENTIALS),
        Struct(Secret(HUSH)),
        {"nested": [Holder(CREDENTIALS), Struct(Secret(HUSH)), {"headers": SIGNED}]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_is_hidden_in_arguments_fields_and_exceptions(value: object, style: str, form: str) -> None:
    """Also inside containers, dataclasses, structs and signed headers."""
    mistaken: Any = value
    made = record(f"got {style}", *[value] * 1, exc=raised(ValueError(value)))
    if isinstance(value, dict):
        made = record("got %s", [value], exc=raised(ValueError(value)))  # logging takes a lone dict for named arguments
    vars(made).update(log_fields(Event.FINISHED, field=mistaken))

    text = FORMATTERS[form]().format(made)

    assert HIDDEN in text
    assert HUSH not in text
    assert SIGNED["ACCESS-SIGN"] not in text


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_traceback_shows_no_values_of_variables(form: str) -> None:
    """A variable may hold a secret that was revealed for a request."""

    def send(revealed: str) -> None:
        raise ConnectionError(f"no answer to {len(revealed)} characters")

    try:
        send(CREDENTIALS.api_key.reveal())
    except ConnectionError:
        text = FORMATTERS[form]().format(record("x", exc=sys.exc_info()))

    assert "no answer" in text
    assert HUSH not in text


def test_a_line_of_a_library_has_an_event_too() -> None:
    """Also arq's, whose calls know nothing of ours."""
    assert told(JsonFormatter().format(record("job %s expired", "j1")))["event"] == Event.LIBRARY
