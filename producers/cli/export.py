"""Export of results as CSV or JSON lines. Text from the exchange can neither break the CSV nor run as a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from producers.cli.input.spreadsheets import as_text
from producers.cli.json_output import to_json
from producers.cli.text import escape, iso_timestamp
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
    """A header, then one row per result. Times are ISO 8601 in UTC."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = csv.writer(stream, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, results: Iterable[JobResult]) -> None:
        """Write results and flush."""
        self._rows.writerows(map(csv_row, results))
        self._stream.flush()


class JsonLinesExport:
    """One JSON document per line and result."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, results: Iterable[JobResult]) -> None:
        """Write results and flush."""
        self._stream.writelines(f"{to_json(result)}\n" for result in results)
        self._stream.flush()


def csv_row(result: JobResult) -> Sequence[str]:
    """Return the cells of a result."""
    cells = (
        result.user_id,
        result.trader_id,
        result.outcome.value,
        result.code or "",
        result.message,
        str(result.tries),
        iso_timestamp(result.enqueued_at_ms),
        iso_timestamp(result.started_at_ms),
        iso_timestamp(result.finished_at_ms),
        result.successor or "",
        result.job_id,
    )
    return tuple(map(spreadsheet_cell, cells))


def spreadsheet_cell(text: str) -> str:
    """Return a text, escaped, with an apostrophe before anything that a spreadsheet would run as a formula."""
    return as_text(escape(text))
