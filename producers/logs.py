"""The format of log lines: text for people, or one JSON object a line for machines. No I/O.

Every call of ours adds an event, and fields, to its message (a test checks that):

    log.info("lane %s: waits", lane, extra=log_fields(Event.REQUEUED, lane=lane))

The client, the worker and the gateway have an enumeration of events each.

No outside text can forge a line or send control codes to a terminal: characters that are not printable are escaped in
both formats, and every part has a maximum length. Values are shown by their `repr`, so a value that must stay hidden
has a type whose `repr` hides it (`Secret`, `SignedHeaders`); tracebacks show no variables.
"""

from __future__ import annotations

import codecs
import logging
import logging.config
import traceback
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

MESSAGE_CHARS = 2000
FIELD_CHARS = 500
TRACEBACK_CHARS = 8000
MAX_FIELDS = 20

ATTRIBUTE = "copytrade"
"""The attribute of a log record that holds the event and its fields."""

LIBRARY = "library"
"""The event of a line that has none of its own."""

ACCEPT_FAILED = "socket.accept() out of system resource"
"""How asyncio's line begins when a connection cannot be accepted, such as for want of file descriptors."""

ACCEPT_FAILED_INTERVAL_S = 60.0

# Looked up now: the first use would open a file, which fails when the process has no file descriptor left.
_encode_escaped = codecs.getencoder("unicode_escape")


class ClientEvent(StrEnum):
    """The events of the client's log lines: in an app, in the gateway, and in a worker that runs `submit` jobs."""

    ACCEPTED = "accepted"
    """A change is in the queue."""
    CANCELLED = "cancelled"
    """A change was cancelled by its ID."""


Field = str | int | float | bool | None
"""The types of field values; none of them can hold a secret by accident."""


def log_fields(event: str, **fields: Field) -> dict[str, tuple[str, dict[str, Field]]]:
    """Return the `extra` argument of a log call. Field names include their unit; a field that is None is left out."""
    return {ATTRIBUTE: (event, fields)}


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger and message; the lines of a traceback follow, each with a prefix of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        line = f"{self.formatTime(record)} {record.levelname} {_escape(record.name)} {_message(record)}"
        return "\n  | ".join([line, *_traceback(record)])


class JsonFormatter(logging.Formatter):
    """One JSON object: ts, level, logger, event, message, the fields of the call, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        line: dict[str, Field] = {
            "ts": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": _escape(record.name),
        }
        event, fields = getattr(record, ATTRIBUTE, (LIBRARY, {}))
        line["event"] = _escape(event)
        line["message"] = _message(record)
        for name, value in list(fields.items())[:MAX_FIELDS]:
            if value is not None:
                line.setdefault(name, _field(value))
        if lines := _traceback(record):
            line["exception"] = "\n".join(lines)
        return msgspec.json.encode(line).decode()


class AcceptFailures(logging.Filter):
    """Lets one line in `ACCEPT_FAILED_INTERVAL_S` pass of those in which asyncio says that it cannot accept.

    It writes as many as connections may wait, each second, with a traceback each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged."""
        if not str(record.msg).startswith(ACCEPT_FAILED):
            return True
        is_due = record.created >= self._next_s
        if is_due:
            self._next_s = record.created + ACCEPT_FAILED_INTERVAL_S
        return is_due


FORMATTERS: dict[str, type[logging.Formatter]] = {"console": ConsoleFormatter, "json": JsonFormatter}
"""By the values of COPYTRADE_LOG_FORMAT."""


def log_to_stderr(level: str, log_format: str) -> None:
    """Write the log of this process to standard error, Python's warnings included.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: console or json.
    """
    logging.captureWarnings(capture=True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": FORMATTERS[log_format]}},
            "filters": {"accept failures": {"()": AcceptFailures}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                "arq": {"level": "WARNING"},  # its info lines contain the arguments of control jobs
                "asyncio": {"filters": ["accept failures"]},
            },
        }
    )


def _message(record: logging.LogRecord) -> str:
    """Return the formatted message; if formatting fails, the unformatted one with a note."""
    try:
        text = record.getMessage()
    except Exception as exc:  # noqa: BLE001 - the repr of an argument can raise anything
        text = f"{record.msg} [its arguments do not fit: {type(exc).__name__}]"
    return _escape(text, MESSAGE_CHARS)


def _field(value: object) -> Field:
    """Return numbers as they are, everything else as text."""
    if isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):  # noqa: PLR2004 - JSON
        return value
    return _escape(str.__str__(value) if isinstance(value, str) else repr(value), FIELD_CHARS)


def _traceback(record: logging.LogRecord) -> list[str]:
    """Return the lines of a record's traceback; a long one loses its beginning."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    text = "".join(traceback.format_exception(record.exc_info[1]))
    if len(text) > TRACEBACK_CHARS:
        text = f"... {text[-TRACEBACK_CHARS:]}"
    return [_escape(line, MESSAGE_CHARS) for line in text.rstrip("\n").split("\n")]


def _escape(text: str, max_chars: int = FIELD_CHARS) -> str:
    """Return a text as one line of printable characters, shortened to `max_chars`."""
    escaped = text[:max_chars]
    if not escaped.isprintable():
        escaped = "".join(char if char.isprintable() else _escape_char(char) for char in escaped)
    if len(text) <= max_chars and len(escaped) <= max_chars:
        return escaped
    return f"{escaped[:max_chars]}... ({len(text)} characters)"


def _escape_char(char: str) -> str:
    return _encode_escaped(char, "surrogatepass")[0].decode("ascii")
