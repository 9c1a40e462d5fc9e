"""CSV files of followers: a header with the column names, then one row per line. A quoted cell cannot span lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from producers.cli.input.fields import ROW_FIELDS, find_field, unknown_field
from producers.cli.input.row_errors import BadInput, RowError
from producers.errors import abbreviated

DELIMITERS = (",", ";", "\t")
FORMULA_STARTS = ("=", "+", "-", "@")

Lines = Iterator[tuple[int, "str | RowError"]]
Row = dict[str, object]
"""The fields of a row by their Python names; empty cells are left out."""


def csv_rows(lines: Lines, *, ignore_other_columns: bool = False) -> Iterator[tuple[int, Row | RowError]]:
    """Yield the rows below the header with their line numbers.

    Args:
        lines: the lines of the file, the header first.
        ignore_other_columns: whether to skip unknown columns, including misspelt ones.

    Raises:
        BadInput: the header is invalid, has an unknown or repeated column, or lacks user_id.
    """
    first = next(lines, None)
    if first is None:
        return
    _, header = first
    if isinstance(header, RowError):
        raise BadInput(f"line {header.line}: {header.rule}; got {header.value}")
    delimiter = max(DELIMITERS, key=header.count)
    names = _cells(header, delimiter)
    if isinstance(names, str):
        raise BadInput(f"line 1, the column names: {names}")
    columns = _columns(names, ignore_other_columns=ignore_other_columns)
    for number, line in lines:
        yield number, line if isinstance(line, RowError) else _row(number, line, delimiter, columns)


def _columns(names: list[str], *, ignore_other_columns: bool) -> list[str | None]:
    fields = [find_field(name) for name in names]
    columns = [field if field in ROW_FIELDS else None for field in fields]
    if "user_id" not in columns:
        hint = "" if None not in columns else " (if the file has only IDs, one a line: --format jsonl)"
        raise BadInput(f"line 1 must name the columns, among them user_id; got {abbreviated(', '.join(names))}{hint}")
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        if column is None and not ignore_other_columns:
            raise BadInput(
                f"column {abbreviated(name)}: {unknown_field(name, ROW_FIELDS)}"
                " (--ignore-other-columns skips columns that are not fields)"
            )
        if column is not None and column in columns[:index]:
            raise BadInput(f"column {abbreviated(name)}: appears twice; remove one")
    return columns


def _row(number: int, line: str, delimiter: str, columns: list[str | None]) -> Row | RowError:
    cells = _cells(line, delimiter)
    if isinstance(cells, str):
        return RowError(number, "line", cells, abbreviated(line))
    if len(cells) != len(columns):
        rule = f"must have {len(columns)} cells like the header; it has {len(cells)}"
        return RowError(number, "line", rule, abbreviated(line))
    row: Row = {name: cell for name, cell in zip(columns, cells, strict=True) if name is not None and cell}
    row.setdefault("user_id", "")
    return row


def _cells(line: str, delimiter: str) -> list[str] | str:
    """Return the cells of a line, or the rule that it breaks."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as exc:
        return f"must be CSV in one line: {exc}"
    return [_strip_apostrophe(cell.strip()) for cell in cells]


def _strip_apostrophe(cell: str) -> str:
    """Undo `export.spreadsheet_cell`: remove the apostrophe before text that looks like a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA_STARTS) else cell
