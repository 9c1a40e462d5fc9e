"""Reading the results of a batch page by page, and where they are written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from producers import Batch, JobResult, Outcome, QueueUnavailable
from producers.cli.context import Run
from producers.cli.export import CsvExport, JsonLinesExport
from producers.cli.formatting import RESULT_COLUMNS, result_row
from producers.cli.input.row_errors import BadInput
from producers.cli.screen import Screen
from producers.cli.text import count

PAGE = 1000
LOOK_EVERY_S = 0.5

Write = Callable[[Sequence[JobResult]], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """Which results are wanted.

    Attributes:
        outcome: only those that ended so.
        failed: only those that were not applied.
    """

    outcome: Outcome | None = None
    failed: bool = False

    def includes(self, result: JobResult) -> bool:
        """Whether a result is one of them."""
        if self.failed and result.outcome is Outcome.APPLIED:
            return False
        return self.outcome is None or result.outcome is self.outcome


@dataclass(slots=True)
class Reading:
    """A reading of a batch's results.

    Attributes:
        kept: which are wanted.
        write: takes them, a page at a time.
        cursor: the position after the last page that was written.
        number: how many were written.
        complete: whether nothing more will come.
    """

    kept: Kept
    write: Write
    cursor: str | None = None
    number: int = 0
    complete: bool = False

    async def read(self, batch: Batch, *, follow: bool) -> None:
        """Reads what there is; with `follow`, until the batch is complete.

        Raises:
            BatchNotFound: there is no such batch.
            InvalidCursor: the position is not one in this batch.
            QueueUnavailable: Redis did not answer.
        """
        begun = False
        while True:
            try:
                page = await batch.page(after=self.cursor, limit=PAGE)
            except QueueUnavailable as exc:
                raise QueueUnavailable(f"{exc}; {self.how_to_go_on()}") from exc
            wanted = [result for result in page.results if self.kept.includes(result)]
            if wanted or not begun:
                self.write(wanted)
                self.number += len(wanted)
                begun = True
            self.cursor, self.complete = page.cursor, page.complete
            if page.complete or (not page.results and not follow):
                return
            if not page.results:
                await asyncio.sleep(LOOK_EVERY_S)

    def how_to_go_on(self) -> str:
        """What to add to the same command so that it gives the rest."""
        return f"go on with --after {self.cursor}" if self.cursor else "nothing was read"

    def report(self, run: Run) -> None:
        """Says how much was read, and where to go on."""
        if run.as_json:
            run.screen.json_note({"cursor": self.cursor, "complete": self.complete})
        elif self.complete:
            run.screen.note(f"{count(self.number)} results; the batch is complete")
        else:
            run.screen.note(f"{count(self.number)} results so far; {self.how_to_go_on()}")


@contextmanager
def target(screen: Screen, form: str, output: Path | None) -> Iterator[Write]:
    """What takes results in a form: a file, or standard output.

    The file is opened by the first write: a batch that is not there shall not empty it.
    """
    opened: Write | None = None
    with ExitStack() as stack:

        def write(results: Sequence[JobResult]) -> None:
            nonlocal opened
            if opened is None:
                file = None if output is None else _opened(output)
                opened = _writer(screen, form, sys.stdout if file is None else stack.enter_context(file))
            opened(results)

        yield write


def _opened(output: Path) -> TextIO:
    try:
        return output.open("w", encoding="utf-8", newline="")
    except OSError as exc:
        raise BadInput(f"--output {output}: {exc.strerror}; name a file that can be written") from exc


def _writer(screen: Screen, form: str, stream: TextIO) -> Write:
    if form == "table":
        return _table(screen)
    export = CsvExport(stream) if form == "csv" else JsonLinesExport(stream)

    def write(results: Sequence[JobResult]) -> None:
        export.write(results)
        stream.flush()

    return write


def _table(screen: Screen) -> Write:
    continued = False

    def write(results: Sequence[JobResult]) -> None:
        nonlocal continued
        screen.table(RESULT_COLUMNS, map(result_row, results), nothing="none so far", continued=continued)
        continued = True

    return write
