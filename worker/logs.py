"""What a log line looks like: text for people, or one JSON object a line for machines. No I/O.

A call gives its line an event and fields beside the message:

    log.info("lane %s: %s again in %.3f s", lane, job_id, due_in_s, extra=about("put_back", lane=lane, job=job_id))

Nothing from outside can forge a line or steer a terminal: what is not printable is escaped, in either format, and every
part has a longest length. Values are shown as they show themselves, so what must be hidden is a type whose `repr` hides
it (`Secret`, `SignedHeaders`); no formatter looks inside a value, and tracebacks show no values of variables.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

MESSAGE_CHARS = 2000
FIELD_CHARS = 500
TRACEBACK_CHARS = 8000
MOST_FIELDS = 20

ATTRIBUTE = "copytrade"
"""Where a log record keeps what `log_fields` said."""

Field = str | int | float | bool | None
"""What a field may be; there is nothing in it that could hold a secret by accident."""


@dataclass(frozen=True, slots=True)
class LogFields:
    """What a line tells machines.

    Attributes:
        event: what happened, in a word that does not change.
        fields: by name; those that are None are left out.
    """

    event: str
    fields: dict[str, Field]


def log_fields(event: str, **fields: Field) -> dict[str, LogFields]:
    """The `extra` of a log call.

    Args:
        event: what happened, in a word that does not change, such as "put_back".
        fields: lane, user, job, outcome, code, attempt, took_ms, ...: units are in the names.
    """
    return {ATTRIBUTE: LogFields(event, fields)}


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger and message; a traceback follows on lines that are marked as its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        line = f"{self.formatTime(record)} {record.levelname} {_plain(record.name)} {_message(record)}"
        return "\n  | ".join([line, *_traceback(record)])


class JsonFormatter(logging.Formatter):
    """One JSON object: ts, level, logger, event, message, the fields of the call, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        line: dict[str, Field] = {
            "ts": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": _plain(record.name),
        }
        told: Any = getattr(record, ATTRIBUTE, None)
        fields = told.fields if isinstance(told, LogFields) else {}
        if isinstance(told, LogFields):
            line["event"] = _plain(told.event)
        line["message"] = _message(record)
        for name, value in list(fields.items())[:MOST_FIELDS]:
            if value is not None:
                line.setdefault(name, _field(value))
        if lines := _traceback(record):
            line["exception"] = "\n".join(lines)
        return msgspec.json.encode(line).decode()


FORMATTERS: dict[str, type[logging.Formatter]] = {"console": ConsoleFormatter, "json": JsonFormatter}
"""By the values of COPYTRADE_LOG_FORMAT."""


def _message(record: logging.LogRecord) -> str:
    """The message with its arguments; a call with the wrong ones still gets its line."""
    try:
        text = record.getMessage()
    except Exception as exc:  # noqa: BLE001 - whatever the repr of an argument raises
        text = f"{record.msg} [its arguments do not fit: {type(exc).__name__}]"
    return _plain(text, MESSAGE_CHARS)


def _field(value: object) -> Field:
    """Numbers as they are; all else as text."""
    if isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):  # noqa: PLR2004 - JSON
        return value
    return _plain(str.__str__(value) if isinstance(value, str) else repr(value), FIELD_CHARS)


def _traceback(record: logging.LogRecord) -> list[str]:
    """The lines of a record's exception, the last of them if there are too many."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    text = "".join(traceback.format_exception(record.exc_info[1]))
    if len(text) > TRACEBACK_CHARS:
        text = f"... {text[-TRACEBACK_CHARS:]}"
    return [_plain(line, MESSAGE_CHARS) for line in text.rstrip("\n").split("\n")]


def _plain(text: str, longest: int = FIELD_CHARS) -> str:
    """A text that is one line, moves no cursor, and is not too long."""
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else _escaped(char) for char in shown)
    if len(text) <= longest and len(shown) <= longest:
        return shown
    return f"{shown[:longest]}... ({len(text)} characters)"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
