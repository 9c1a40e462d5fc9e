"""Results as CSV or JSON lines, well-formed whatever the exchange wrote, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from producers.cli.input.csv_rows import FORMULA_STARTS
from producers.cli.json_output import document
from producers.cli.text import safe, timestamp
from producers.contract.messages import JobResult

COLUMNS = (
    "userId",
    "traderId",
    "outcome",
    "code",
    "message",
    "tries",
    "enqueuedAt",
    "startedAt",
    "finishedAt",
    "successor",
    "jobId",
)


class CsvExport:
    """A header, then a row a result. Times are ISO 8601, UTC."""

    def __init__(self, stream: TextIO) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, results: Iterable[JobResult]) -> None:
        """Adds results."""
        self._rows.writerows(map(csv_row, results))


class JsonLinesExport:
    """A document a result."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, results: Iterable[JobResult]) -> None:
        """Adds results."""
        self._stream.writelines(f"{document(result)}\n" for result in results)


def csv_row(result: JobResult) -> Sequence[str]:
    """The cells of a result."""
    cells = (
        result.user_id,
        result.trader_id,
        result.outcome.value,
        result.code or "",
        result.message,
        str(result.tries),
        timestamp(result.enqueued_at_ms),
        timestamp(result.started_at_ms),
        timestamp(result.finished_at_ms),
        result.successor or "",
        result.job_id,
    )
    return tuple(map(spreadsheet_cell, cells))


def spreadsheet_cell(text: str) -> str:
    """A cell that a spreadsheet takes for text: an apostrophe goes before what it would run as a formula."""
    printable = safe(text)
    return f"'{printable}" if printable.startswith(FORMULA_STARTS) else printable
