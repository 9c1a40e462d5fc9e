"""Followers from a file: each line is a change or an error. The file is read twice: for validation and for sending."""

from __future__ import annotations

import codecs
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Literal

from producers.cli.input.csv_rows import cells, csv_rows, detect_delimiter
from producers.cli.input.fields import find_field
from producers.cli.input.json_rows import json_rows
from producers.cli.input.lines import MAX_LINE_BYTES, numbered_lines
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.input.template import Template
from producers.contract.messages import SettingsChange
from producers.errors import InvalidChange

MAX_ROW_ERRORS = 100_000
"""Errors that are kept; further ones are only counted. If the file is a wrong one, every line is an error."""

Format = Literal["csv", "jsonl"]

_READERS = {"csv": csv_rows, "jsonl": json_rows}
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True, slots=True)
class ValidRow:
    """A line with a valid change.

    Attributes:
        line: line number, counted from 1.
        change: the change.
        user_only: whether the line has only a user ID, so that its settings are the template's.
    """

    line: int
    change: SettingsChange
    user_only: bool


@dataclass(slots=True)
class ValidationReport:
    """The result of validating a whole file.

    Attributes:
        valid: number of lines with a valid change.
        users_only: whether all valid lines have only a user ID.
        invalid: number of invalid lines.
        errors: the errors of the first `MAX_ROW_ERRORS` invalid lines.
    """

    valid: int = 0
    users_only: bool = True
    invalid: int = 0
    errors: list[RowError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Followers:
    """A file of followers. Each iteration reads it from the start.

    Attributes:
        stream: the file, seekable.
        file_format: "csv" or "jsonl".
        template: the part that all changes have in common.
        ignore_other_columns: whether to skip columns that are not fields.
    """

    stream: BinaryIO
    file_format: Format
    template: Template
    ignore_other_columns: bool = False

    def __iter__(self) -> Iterator[ValidRow | RowError]:
        """Yield each line that is not blank as a change or an error.

        Raises:
            BadInput: the file as a whole or the template is invalid.
        """
        return (row for row in self.lines() if row is not None)

    def lines(self) -> Iterator[ValidRow | RowError | None]:
        """Yield each line as a change or an error; None for a line without a value.

        A second change for the same user and trader is an error, because the file does not say which one is meant.

        Raises:
            BadInput: the file as a whole or the template is invalid.
        """
        self.stream.seek(0)
        first_lines: dict[str | tuple[str, str], int] = {}
        common_trader = self.template.fields.get("trader_id")
        lines = numbered_lines(self.stream)
        for line, row in _READERS[self.file_format](lines, ignore_other_columns=self.ignore_other_columns):
            if row is None or isinstance(row, RowError):
                yield row
                continue
            try:
                change = self.template.change(row)
            except InvalidChange as exc:
                yield RowError.from_invalid_change(line, exc)
                continue
            user, trader = change.user_id, change.trader_id
            lane = user if trader == common_trader else (user, trader)  # a tuple per line would take more memory
            first = first_lines.setdefault(lane, line)
            if first != line:
                rule = f"duplicate user; first on line {first}"
                yield RowError.from_invalid_change(line, InvalidChange("userId", rule, user))
                continue
            yield ValidRow(line, change, user_only=len(row) == 1)

    def validate(self) -> ValidationReport:
        """Validate every line of the file. The changes are not kept in memory.

        Raises:
            BadInput: the file as a whole or the template is invalid.
        """
        report = ValidationReport()
        for row in self:
            if isinstance(row, ValidRow):
                report.valid += 1
                report.users_only = report.users_only and row.user_only
            else:
                report.invalid += 1
                if len(report.errors) < MAX_ROW_ERRORS:
                    report.errors.append(row)
        if not report.valid and not report.invalid:
            raise BadInput("the file contains no followers")
        return report


def ensure_seekable(stream: BinaryIO) -> BinaryIO:
    """Return the stream if it is seekable; otherwise a temporary copy on disk, which is deleted when it is closed."""
    with suppress(AttributeError, OSError):
        if stream.seekable():
            stream.seek(0)
            return stream
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(stream, copy)
    return copy


def detect_format(name: str, stream: BinaryIO) -> Format:
    """Return the format of a file by its suffix or else its first line: JSON starts with `{`, `[`, `"` or a digit.

    A first line that names the column of users is CSV, even if it begins with a quote.
    """
    by_suffix = _SUFFIXES.get(PurePath(name).suffix.lower())
    if by_suffix is not None:
        return by_suffix
    stream.seek(0)
    start = stream.read(MAX_LINE_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    first_line = start.splitlines()[0].decode(errors="replace") if start else ""
    names = cells(first_line, detect_delimiter(first_line))
    if isinstance(names, list) and "user_id" in map(find_field, names):
        return "csv"
    return "jsonl" if first_line[:1] in ("{", "[", '"') or start[:1].isdigit() else "csv"
