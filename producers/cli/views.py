"""Changes, results and row errors for people: names with values, table rows, or lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from producers.cli.input.row_errors import RowError
from producers.cli.text import EMPTY_CELL, format_count, format_duration, format_time
from producers.contract.messages import Attempt, JobResult, Outcome, SettingsChange
from producers.contract.wording import plural

MAX_ROW_ERRORS_SHOWN = 20

RESULT_COLUMNS = ("user", "trader", "outcome", "code", "message", "tries", "finished", "job")
ATTEMPT_COLUMNS = ("at", "took", "verdict", "status", "code", "message")


def result_details(result: JobResult) -> Iterator[tuple[str, str]]:
    """Yield the fields of a result."""
    yield "job", result.job_id
    yield "user", result.user_id or EMPTY_CELL
    yield "trader", result.trader_id or EMPTY_CELL
    yield "outcome", result.outcome.value
    yield "code", result.code or EMPTY_CELL
    yield "message", result.message or EMPTY_CELL
    yield "tries", str(result.tries)
    yield "enqueued", format_time(result.enqueued_at_ms)
    yield "started", format_time(result.started_at_ms)
    yield "finished", format_time(result.finished_at_ms)
    if result.successor is not None:
        yield "replaced by", result.successor


def result_row(result: JobResult) -> Sequence[str]:
    """Return the cells of `RESULT_COLUMNS` for a result."""
    return (
        result.user_id or EMPTY_CELL,
        result.trader_id or EMPTY_CELL,
        result.outcome.value,
        result.code or EMPTY_CELL,
        result.message or EMPTY_CELL,
        str(result.tries),
        format_time(result.finished_at_ms),
        result.job_id,
    )


def attempt_row(attempt: Attempt) -> Sequence[str]:
    """Return the cells of `ATTEMPT_COLUMNS` for an attempt."""
    return (
        format_time(attempt.at_ms),
        format_duration(attempt.took_ms / 1000),
        attempt.verdict,
        EMPTY_CELL if attempt.status is None else str(attempt.status),
        attempt.code or EMPTY_CELL,
        attempt.message or EMPTY_CELL,
    )


def outcome_counts(outcomes: dict[str, int]) -> str:
    """Return the counts as text, such as "3 applied, 1 rejected": in the order of `Outcome`, without zeros."""
    known = [outcome.value for outcome in Outcome]
    names = [*known, *sorted(set(outcomes) - set(known))]
    return ", ".join(f"{format_count(outcomes[name])} {name}" for name in names if outcomes.get(name)) or EMPTY_CELL


def row_error_lines(errors: Sequence[RowError], total: int) -> Iterator[str]:
    """Yield the first `MAX_ROW_ERRORS_SHOWN` errors, and the number of further ones.

    Args:
        errors: at least the first errors of the file, in the order of their lines.
        total: how many invalid lines the file has.
    """
    for error in errors[:MAX_ROW_ERRORS_SHOWN]:
        where = "" if error.field == "line" else f" {error.field}:"
        value = f"; got {error.value}" if error.value else ""
        yield f"line {error.line}:{where} {error.rule}{value}"
    if total > MAX_ROW_ERRORS_SHOWN:
        yield f"... and {plural(total - MAX_ROW_ERRORS_SHOWN, 'more invalid line')}; --json lists them"


def change_details(change: SettingsChange) -> Iterator[tuple[str, str]]:
    """Yield the fields of a change, with one line per setting."""
    yield "user", change.user_id
    yield "trader", change.trader_id
    for name, value in (("auto copy", change.auto_copy), ("mode", change.mode)):
        if value is not None:
            yield name, value
    for number, setting in enumerate(change.settings, 1):
        fields = zip(setting.__struct_encode_fields__, setting.__struct_fields__, strict=True)
        values = ((wire, getattr(setting, name)) for wire, name in fields)
        yield f"setting {number}", " ".join(f"{wire}={value}" for wire, value in values if value is not None)
