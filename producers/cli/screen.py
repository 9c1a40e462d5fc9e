"""Where everything is shown: tables and words on a terminal, tab-separated lines in a pipe, JSON when asked for.

What was asked for goes to standard output; what is said about it (progress, hints, errors) goes to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from producers.cli.json_output import document
from producers.cli.text import safe

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
"""How a cell is shown that is just this word."""

NUMBERS = frozenset(
    {"total", "queued", "in flight", "applied", "ended", "tries", "line", "changes", "due", "wait", "rate", "attempts"}
)
"""Columns that stand at the right."""

INDENT = 2
PIPE_WIDTH = 160


class Screen:
    """Standard output and standard error."""

    def __init__(self) -> None:
        self.out = Console(highlight=False, markup=False, emoji=False)
        self.err = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def json(self, value: object, *, for_files: bool = False) -> None:
        """One document; one that is kept in a file is laid out for people in any case."""
        self._write(document(value, indent=INDENT if for_files or self.out.is_terminal else None))

    def json_line(self, value: object) -> None:
        """One of many documents, a line each, seen at once."""
        self._write(document(value))
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """A line of what was asked for."""
        self._write(safe(text))

    def note(self, text: str) -> None:
        """A line about it."""
        self.err.print(Text(safe(text)), soft_wrap=True)

    def show(self, what: RenderableType) -> None:
        """Something composed; in a pipe, as wide as it likes."""
        if self.out.is_terminal:
            self.out.print(what)
        else:
            self.out.print(what, width=PIPE_WIDTH)

    def json_note(self, value: object) -> None:
        """A document about what was asked for."""
        self.err.file.write(f"{document(value)}\n")

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values, a line each."""
        if not self.out.is_terminal:
            for name, value in facts:
                self._write(f"{name}\t{safe(value)}")
            return
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in facts:
            grid.add_row(Text(name), cell(value))
        self.out.print(grid)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str = "", continued: bool = False
    ) -> None:
        """Rows under the names of their columns.

        Args:
            columns: their names.
            rows: of each, a text a column.
            nothing: what to say on a terminal when there are no rows.
            continued: whether rows of the same table went before, so that a pipe needs no names again.
        """
        if not self.out.is_terminal:
            if not continued:
                self._write("\t".join(columns))
            for row in rows:
                self._write("\t".join(map(safe, row)))
            return
        shown = grid(columns, rows)
        if shown.row_count:
            self.out.print(shown)
        else:
            self.note(nothing)

    def _write(self, line: str) -> None:
        """A line as it is: rich would break it."""
        sys.stdout.write(f"{line}\n")


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table for a terminal."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def cell(text: str) -> Text:
    """A cell as it is: a message may hold what looks like markup."""
    return Text(safe(text), style=STYLES.get(text, ""))
