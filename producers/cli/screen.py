"""Output: tables and text on a terminal, tab-separated lines in a pipe, JSON on request.

Results go to standard output; progress, hints and errors go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producers.cli.json_output import to_json
from producers.cli.text import escape

STYLES = {
    "applied": "green",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "rejected": "red",
    "unauthorized": "red",
    "exhausted": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "superseded": "dim",
    "paused": "yellow",
}
"""Styles of cells whose whole text is one of these words."""

NUMERIC_COLUMNS = frozenset({"total", "queued", "in flight", "ended", "requeued", "tries", "due", "wait", "rate"})
"""Columns that are right-aligned."""

INDENT = 2


class _Console(Console):
    """A console whose output may be closed: the command line handles a BrokenPipeError in one place."""

    def on_broken_pipe(self) -> None:
        """Raise the error again; rich would exit here."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


class Screen:
    """Standard output and standard error."""

    def __init__(self) -> None:
        self.out = _Console(highlight=False, markup=False, emoji=False)
        self.err = _Console(stderr=True, highlight=False, markup=False, emoji=False)

    def json(self, value: object, *, indented: bool = False) -> None:
        """Print one JSON document, indented on a terminal or with `indented`."""
        self._write(to_json(value, indent=INDENT if indented or self.out.is_terminal else None))

    def json_line(self, value: object) -> None:
        """Print a JSON document as one line, and flush."""
        self._write(to_json(value))
        sys.stdout.flush()

    def print(self, text: str) -> None:
        """Print a line of the result."""
        self._write(escape(text))

    def note(self, text: str) -> None:
        """Print a line to standard error."""
        self.err.print(Text(escape(text)), soft_wrap=True)

    def json_note(self, value: object) -> None:
        """Print a JSON document to standard error."""
        self.err.file.write(f"{to_json(value)}\n")

    def details(self, details: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one pair a line."""
        if not self.out.is_terminal:
            for name, value in details:
                self._write(f"{name}\t{escape(value)}")
            return
        self.out.print(details_grid(details))

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty_note: str = "", continued: bool = False
    ) -> None:
        """Print rows below the names of their columns.

        Args:
            columns: names of the columns.
            rows: one text for each column.
            empty_note: the note to print on a terminal if there are no rows.
            continued: whether an earlier call began the table; the header is then not repeated in a pipe.
        """
        if not self.out.is_terminal:
            if not continued:
                self._write("\t".join(columns))
            for row in rows:
                self._write("\t".join(map(escape, row)))
            return
        table = grid(columns, rows)
        if table.row_count:
            self.out.print(table)
        else:
            self.note(empty_note)

    def _write(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")  # not through rich, which would wrap the line


def details_grid(details: Iterable[tuple[str, str]]) -> Table:
    """Return names and values in two columns for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in details:
        table.add_row(Text(name), cell(value))
    return table


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table for a terminal."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMERIC_COLUMNS else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def cell(text: str) -> Text:
    """Return a styled cell. Rich does not interpret markup in its text."""
    return Text(escape(text), style=STYLES.get(text, ""))
