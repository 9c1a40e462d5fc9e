"""Changes, results and progress as names and values for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from producers.cli.input.row_errors import Fault
from producers.cli.text import NOTHING, count, duration, when
from producers.contract.messages import Attempt, JobResult, Outcome, SettingsChange

Facts = list[tuple[str, str]]

MOST_FAULTS_SHOWN = 20

RESULT_COLUMNS = ("user", "trader", "outcome", "code", "message", "tries", "finished", "job")
ATTEMPT_COLUMNS = ("at", "took", "verdict", "status", "code", "message")


def result_facts(result: JobResult) -> Facts:
    """How a change ended."""
    facts = [
        ("job", result.job_id),
        ("user", result.user_id or NOTHING),
        ("trader", result.trader_id or NOTHING),
        ("outcome", result.outcome.value),
        ("code", result.code or NOTHING),
        ("message", result.message or NOTHING),
        ("tries", str(result.tries)),
        ("enqueued", when(result.enqueued_at_ms)),
        ("started", when(result.started_at_ms)),
        ("finished", when(result.finished_at_ms)),
    ]
    if result.successor is not None:
        facts.append(("replaced by", result.successor))
    return facts


def result_row(result: JobResult) -> Sequence[str]:
    """One of many results."""
    return (
        result.user_id or NOTHING,
        result.trader_id or NOTHING,
        result.outcome.value,
        result.code or NOTHING,
        result.message or NOTHING,
        str(result.tries),
        when(result.finished_at_ms),
        result.job_id,
    )


def attempt_row(attempt: Attempt) -> Sequence[str]:
    """One request of a change."""
    return (
        when(attempt.at_ms),
        duration(attempt.took_ms / 1000),
        attempt.verdict,
        NOTHING if attempt.status is None else str(attempt.status),
        attempt.code or NOTHING,
        attempt.message or NOTHING,
    )


def outcome_counts(outcomes: dict[str, int]) -> str:
    """Numbers of changes by how they ended, in the order of the contract; only what there is."""
    known = [outcome.value for outcome in Outcome]
    names = [*known, *sorted(set(outcomes) - set(known))]
    return ", ".join(f"{count(outcomes[name])} {name}" for name in names if outcomes.get(name)) or NOTHING


def fault_lines(faults: Sequence[Fault], number: int) -> Iterator[str]:
    """Bad lines of a file, the first twenty, and how many more there are.

    Args:
        faults: what is wrong with them, or with as many as are known.
        number: how many bad lines there are.
    """
    for fault in faults[:MOST_FAULTS_SHOWN]:
        where = "" if fault.field == "line" else f" {fault.field}:"
        value = f"; got {fault.value}" if fault.value else ""
        yield f"line {fault.line}:{where} {fault.rule}{value}"
    if number > MOST_FAULTS_SHOWN:
        yield f"... and {count(number - MOST_FAULTS_SHOWN)} more bad lines; --json names them"


def settings_lines(change: SettingsChange) -> Iterator[tuple[str, str]]:
    """A change's own fields, and each of its settings on a line."""
    yield "user", change.user_id
    yield "trader", change.trader_id
    for name, value in (("auto copy", change.auto_copy), ("mode", change.mode)):
        if value is not None:
            yield name, value
    for index, setting in enumerate(change.settings):
        given = zip(setting.__struct_encode_fields__, setting.__struct_fields__, strict=True)
        values = ((wire, getattr(setting, name)) for wire, name in given)
        yield f"setting {index + 1}", " ".join(f"{wire}={value}" for wire, value in values if value is not None)
