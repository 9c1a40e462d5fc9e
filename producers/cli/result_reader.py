"""Reads the results of a batch page by page, and writes them as a table, CSV or JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from producers import Batch, JobResult, Outcome, QueueUnavailable
from producers.cli.context import CliContext
from producers.cli.export import CsvExport, JsonLinesExport
from producers.cli.input.row_errors import BadInput
from producers.cli.screen import Screen
from producers.cli.views import RESULT_COLUMNS, result_row
from producers.contract.wording import plural

PAGE_SIZE = 1000
POLL_INTERVAL_S = 0.5

Write = Callable[[Sequence[JobResult]], None]


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Selects results.

    Attributes:
        outcome: only results with this outcome.
        failed: only results with an outcome other than applied.
    """

    outcome: Outcome | None = None
    failed: bool = False

    def matches(self, result: JobResult) -> bool:
        """Return whether the filter selects a result."""
        if self.failed and result.outcome is Outcome.APPLIED:
            return False
        return self.outcome is None or result.outcome is self.outcome

    @property
    def is_set(self) -> bool:
        """Whether it may leave out results."""
        return self.failed or self.outcome is not None


@dataclass(slots=True)
class ResultReader:
    """Reads the results of a batch.

    Attributes:
        result_filter: selects the results to write.
        write: writes one page of results.
        cursor: position after the last page that was written.
        written: how many results were written.
        complete: whether the batch has no further results.
        malformed: how many entries were left out, because they cannot be read.
    """

    result_filter: ResultFilter
    write: Write
    cursor: str | None = None
    written: int = 0
    complete: bool = False
    malformed: int = 0

    async def read(self, batch: Batch, *, follow: bool) -> None:
        """Read the results that exist or, with `follow`, all results until the batch is complete.

        Raises:
            BatchNotFound: there is no such batch.
            InvalidCursor: the cursor is not a position in this batch.
            QueueUnavailable: Redis did not answer.
        """
        is_first = True
        while True:
            try:
                page = await batch.page(after=self.cursor, limit=PAGE_SIZE)
            except QueueUnavailable as exc:
                raise QueueUnavailable(f"{exc}; {self.resume_hint()}") from exc
            selected = [result for result in page.results if self.result_filter.matches(result)]
            if selected or is_first:
                self.write(selected)
                self.written += len(selected)
                is_first = False
            is_empty = page.cursor == self.cursor
            self.cursor, self.complete, self.malformed = page.cursor, page.complete, self.malformed + page.malformed
            if page.complete or (is_empty and not follow):
                return
            if is_empty:
                await asyncio.sleep(POLL_INTERVAL_S)

    def resume_hint(self) -> str:
        """Return the option with which the same command reads the remaining results."""
        return f"continue with --after {self.cursor}" if self.cursor else "nothing was read"

    def print_summary(self, cli: CliContext) -> None:
        """Print how many results were written, and where to continue."""
        cli.note_malformed(self.malformed)
        if cli.as_json:
            cli.screen.json_note({"cursor": self.cursor, "complete": self.complete})
        else:
            kind = "matching result" if self.result_filter.is_set else "result"
            end = "; the batch is complete" if self.complete else f" so far; {self.resume_hint()}"
            cli.screen.note(f"{plural(self.written, kind)}{end}")


@contextmanager
def open_output(screen: Screen, output_format: str, path: Path | None) -> Iterator[Write]:
    """Yield a function that writes results to a file, or to standard output if `path` is None.

    The file is opened at the first write, so that a wrong batch ID does not empty it.
    """
    writer: Write | None = None
    with ExitStack() as stack:

        def write(results: Sequence[JobResult]) -> None:
            nonlocal writer
            if writer is None:
                stream = sys.stdout if path is None else stack.enter_context(_open_file(path))
                writer = _writer(screen, output_format, stream)
            writer(results)

        yield write


def _open_file(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as exc:
        raise BadInput(f"--output {path}: {exc.strerror}; choose a file that can be written") from exc


def _writer(screen: Screen, output_format: str, stream: TextIO) -> Write:
    if output_format == "csv":
        return CsvExport(stream).write
    if output_format == "jsonl":
        return JsonLinesExport(stream).write
    continued = False

    def write(results: Sequence[JobResult]) -> None:
        nonlocal continued
        screen.table(RESULT_COLUMNS, map(result_row, results), empty_note="no results so far", continued=continued)
        continued = True

    return write
