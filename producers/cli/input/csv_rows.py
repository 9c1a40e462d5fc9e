"""CSV files of followers: a header with the column names, then one row per line. A quoted cell cannot span lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from producers.cli.input.fields import ROW_FIELDS, WIRE_NAMES, find_field, unknown_field
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.input.spreadsheets import unwrap_text
from producers.cli.json_output import abbreviated_json
from producers.contract.wording import plural
from producers.errors import abbreviated

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS_SHOWN = 20
"""Columns that a message names. A file that is no CSV can have thousands."""

_thousands = re.compile(r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)").search
"""Digits that a comma cuts, which may be one number, such as 1,234."""

Lines = Iterator[tuple[int, "str | RowError"]]
Row = dict[str, object]
"""The fields of a row by their Python names; empty cells are left out."""


_delimiter_line = re.compile(r'"?sep=(.)"?[,;]*', re.IGNORECASE).fullmatch
"""A first line that names the delimiter, as Excel reads and writes it."""


def csv_rows(lines: Lines, *, ignore_other_columns: bool = False) -> Iterator[tuple[int, Row | RowError | None]]:
    """Yield the rows below the header with their line numbers; None for a line without any value, also above it.

    Args:
        lines: the lines of the file: the header first, or a line such as `sep=;` before it.
        ignore_other_columns: whether to skip unknown columns, including misspelt ones.

    Raises:
        BadInput: the header is invalid, has unknown or repeated columns, or lacks user_id.
    """
    delimiter: str | None = None
    columns: list[str | None] | None = None
    for number, line in lines:
        if not line:
            yield number, None
        elif columns is not None and delimiter is not None:
            yield number, line if isinstance(line, RowError) else _row(number, line, delimiter, columns)
        elif isinstance(line, RowError):
            raise BadInput(f"line {number}: {line.rule}; got {line.value}")
        elif delimiter is None and (named := _delimiter_line(line)):
            delimiter = _named_delimiter(number, named[1])
        else:
            delimiter = delimiter or detect_delimiter(line)
            columns = _columns(number, cells(line, delimiter), ignore_other_columns=ignore_other_columns)


def _named_delimiter(line: int, delimiter: str) -> str:
    if delimiter not in DELIMITERS:
        raise BadInput(f"line {line}: the delimiter must be a comma, a semicolon, a tab or |; got {delimiter!r}")
    return delimiter


def detect_delimiter(header: str) -> str:
    """Return the delimiter that the header has most often."""
    return max(DELIMITERS, key=header.count)


def cells(line: str, delimiter: str) -> list[str] | str:
    """Return the cells of a line, or the rule that it breaks."""
    try:
        found = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as exc:
        return f"must be CSV in one line: {exc}"
    return [unwrap_text(cell.strip()).strip() for cell in found]


def _columns(line: int, names: list[str] | str, *, ignore_other_columns: bool) -> list[str | None]:
    """Return the field of each column; None for one that is skipped, or that has no name and must be empty.

    Raises:
        BadInput: the message lists all that is wrong with the names.
    """
    if isinstance(names, str):
        raise BadInput(f"line {line}, the column names: {names}")
    fields = [find_field(name) for name in names]
    columns = [field if field in ROW_FIELDS else None for field in fields]
    if "user_id" not in columns:
        hint = "" if None not in columns else " (if the file has only IDs, one a line: --format jsonl)"
        shown = abbreviated(", ".join(names))
        raise BadInput(f"line {line} must name the columns, among them user_id; got {shown}", hint)
    by_rule: dict[str, list[str]] = {}
    seen, wrong, has_unknown = set(), 0, False
    for name, column in zip(names, columns, strict=True):
        is_unknown = column is None and bool(name) and not ignore_other_columns
        if is_unknown or column in seen:
            wrong, has_unknown = wrong + 1, has_unknown or is_unknown
            if wrong <= MAX_COLUMNS_SHOWN:
                rule = unknown_field(name, ROW_FIELDS) if is_unknown else "appears twice; remove one"
                by_rule.setdefault(rule, []).append(abbreviated(name))
        elif column is not None:
            seen.add(column)
    if by_rule:
        parts = [_columns_with_rule(broken, rule) for rule, broken in by_rule.items()]
        more = [f"and {wrong - MAX_COLUMNS_SHOWN} more columns"] if wrong > MAX_COLUMNS_SHOWN else []
        hint = " (--ignore-other-columns skips columns that are not fields)" if has_unknown else ""
        raise BadInput("; ".join([*parts, *more]), hint)
    return columns


def _columns_with_rule(names: list[str], rule: str) -> str:
    """Return the part of a message that names the columns that break a rule."""
    return f"column {names[0]}: {rule}" if len(names) == 1 else f"columns {', '.join(names)}: each {rule}"


def _row(number: int, line: str, delimiter: str, columns: list[str | None]) -> Row | RowError | None:
    """Return the fields of a line; None if all its cells are empty."""
    found = cells(line, delimiter)
    if isinstance(found, str):
        return RowError(number, "line", found, abbreviated_json(line))
    if not any(found):
        return None
    while len(found) > len(columns) and not found[-1]:
        found.pop()  # a spreadsheet fills up all rows to the longest one
    if len(found) != len(columns):
        rule = f"must have {plural(len(columns), 'cell')} like the header, and has {len(found)}"
        if delimiter == "," and len(found) > len(columns) and _thousands(line):
            rule += "; if a number has a thousands separator, take it out"
        return RowError(number, "line", rule, abbreviated_json(line))
    for name, cell in zip(columns, found, strict=True):
        if name is not None and find_field(cell) == name:
            rule = "must be a value; this is the column's name, as in a repeated header"
            return RowError(number, WIRE_NAMES[name], rule, abbreviated_json(cell))
    row: Row = {name: cell for name, cell in zip(columns, found, strict=True) if name is not None and cell}
    row.setdefault("user_id", None)
    return row
