"""CSV: a header that names the columns, then a row a line. A stray quote spoils its own line and no other."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from producers.cli.input.fields import ROW_FIELDS, field_named, unknown_field
from producers.cli.input.row_errors import BadInput, Fault
from producers.errors import abbreviated

DELIMITERS = (",", ";", "\t")
FORMULA_STARTS = ("=", "+", "-", "@")

Lines = Iterator[tuple[int, "str | Fault"]]
Row = dict[str, object]
"""Fields by their Python names, as far as the row gives them."""


def csv_rows(lines: Lines, *, ignore_other_columns: bool = False) -> Iterator[tuple[int, Row | Fault]]:
    """The rows below the header, with their line numbers.

    Args:
        lines: of the file, the header first.
        ignore_other_columns: whether columns that are no fields are passed over; a misspelt one would be, too.

    Raises:
        BadInput: the header is missing, or a column of it is missing, unknown or there twice.
    """
    first = next(lines, None)
    if first is None:
        return
    _, header = first
    if isinstance(header, Fault):
        raise BadInput(f"line {header.line}: {header.rule}; got {header.value}")
    delimiter = max(DELIMITERS, key=header.count)
    names = _cells(header, delimiter)
    if isinstance(names, str):
        raise BadInput(f"line 1, the names of the columns: {names}")
    columns = _columns(names, ignore_other_columns=ignore_other_columns)
    for number, line in lines:
        if isinstance(line, Fault):
            yield number, line
        else:
            yield number, _row(number, line, delimiter, columns)


def _columns(names: list[str], *, ignore_other_columns: bool) -> list[str | None]:
    columns: list[str | None] = []
    for name in names:
        field = field_named(name)
        if field not in ROW_FIELDS:
            field = None
            if "user_id" not in map(field_named, names):
                raise BadInput(
                    f"line 1 must name the columns, and one of them user_id; got {abbreviated(', '.join(names))}"
                    " (a file of nothing but IDs, one a line: --format jsonl)"
                )
            if not ignore_other_columns:
                raise BadInput(
                    f"column {abbreviated(name)}: {unknown_field(name, ROW_FIELDS)}"
                    " (--ignore-other-columns passes over what is no field)"
                )
        elif field in columns:
            raise BadInput(f"column {abbreviated(name)}: is there twice; take one out")
        columns.append(field)
    if "user_id" not in columns:
        raise BadInput(f"line 1 must name the columns, and one of them user_id; got {abbreviated(', '.join(names))}")
    return columns


def _row(number: int, line: str, delimiter: str, columns: list[str | None]) -> Row | Fault:
    cells = _cells(line, delimiter)
    if isinstance(cells, str):
        return Fault(number, "line", cells, abbreviated(line))
    if len(cells) != len(columns):
        rule = f"must have {len(columns)} cells, as the header has; it has {len(cells)}"
        return Fault(number, "line", rule, abbreviated(line))
    row: Row = {name: cell for name, cell in zip(columns, cells, strict=True) if name is not None and cell}
    row.setdefault("user_id", "")
    return row


def _cells(line: str, delimiter: str) -> list[str] | str:
    """The cells of a line; a text says why it has none."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as exc:
        return f"must be CSV in one line: {exc}"
    return [_as_exported(cell.strip()) for cell in cells]


def _as_exported(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from reading it as a formula; our own exports set it."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA_STARTS) else cell
