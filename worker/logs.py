"""The format of log lines: text for people, or one JSON object a line for machines. No I/O.

Every call of ours adds an event, and fields, to its message (a test checks that):

    log.info("lane %s: waits", lane, extra=log_fields(Event.REQUEUED, lane=lane))

No outside text can forge a line or send control codes to a terminal: characters that are not printable are escaped in
both formats, and every part has a maximum length. Values are shown by their `repr`, so a value that must stay hidden
has a type whose `repr` hides it (`Secret`, `SignedHeaders`); tracebacks show no variables.
"""

from __future__ import annotations

import logging
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

Field = str | int | float | bool | None
"""The types of field values; none of them can hold a secret by accident."""


class Event(StrEnum):
    """The events of log lines. Alerts and dashboards match on their values."""

    FINISHED = "finished"
    """A change has its outcome."""
    REQUEUED = "requeued"
    """An attempt did not end its change; the lane is scheduled again."""
    FENCED = "fenced"
    """The session ended before the settlement, which was rejected; another worker may have the lane."""
    SESSION_LOST = "session_lost"
    """This worker was not heard of for the TTL of its session; others have its changes, and it begins a new session."""
    ATTEMPT_CANCELLED = "attempt_cancelled"
    """The worker stopped during an attempt; the lane becomes due when its session ends."""
    ATTEMPT_ERROR = "attempt_error"
    """An attempt raised an unexpected exception; it is settled as one whose fate is not known."""
    MALFORMED = "malformed"
    """A claim found a user, a lane or a head that is malformed, or a settlement cannot be written."""
    CREDENTIALS_UNUSABLE = "credentials_unusable"
    """A user's credentials, or a whole file of them, cannot be used; changes wait, or earlier ones stay in use."""
    BREAKER_OPENED = "breaker_opened"
    """Many users in a row failed alike; the egress sends only probes."""
    BREAKER_CLOSED = "breaker_closed"
    """A probe succeeded; the egress sends everything again."""
    EGRESS_HELD = "egress_held"
    """Many users in a row were throttled, or a probe of another one after them; the egress sends only probes."""
    CONTROL_JOB_FAILED = "control_job_failed"
    """A control job ended with an error: it cannot be run, or what it asks for is refused."""
    REDIS_AWAY = "redis_away"
    """Redis does not answer, or refuses; the parts of the worker that wait for it try again."""
    REDIS_BACK = "redis_back"
    """Redis serves all parts of the worker again."""
    STARTED = "started"
    """The worker dispatches lanes from now on."""
    STOPPING = "stopping"
    """The worker stops."""
    UNSAFE_REDIS = "unsafe_redis"
    """Redis is configured so that it may lose or refuse changes, or its configuration cannot be read."""
    UNKNOWN_VARIABLE = "unknown_variable"
    """An environment variable has the prefix of the settings, and is none."""
    TIME_UNKNOWN = "time_unknown"
    """The exchange's time was not fetched at the start; this machine's clock is used at first."""
    PROCESS_ENDED = "process_ended"
    """A worker process ended by itself; its parent starts another."""
    INTERNAL_ERROR = "internal_error"
    """A part of the worker raised an unexpected exception; it goes on."""
    PARENT_GONE = "parent_gone"
    """The parent of this worker process has ended; the worker stops."""
    CRASHED = "crashed"
    """The process ends because of an unexpected exception."""
    LIBRARY = "library"
    """A line of a library (arq, asyncio, Python's warnings), or of an app's own control job; `logger` says whose."""


def log_fields(event: Event, **fields: Field) -> dict[str, tuple[Event, dict[str, Field]]]:
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
        event, fields = getattr(record, ATTRIBUTE, (Event.LIBRARY, {}))
        line["event"] = _escape(event)
        line["message"] = _message(record)
        for name, value in list(fields.items())[:MAX_FIELDS]:
            if value is not None:
                line.setdefault(name, _field(value))
        if lines := _traceback(record):
            line["exception"] = "\n".join(lines)
        return msgspec.json.encode(line).decode()


FORMATTERS: dict[str, type[logging.Formatter]] = {"console": ConsoleFormatter, "json": JsonFormatter}
"""By the values of COPYTRADE_LOG_FORMAT."""


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
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
