"""Pins from a CSV file: a header with user_id and egress, then a row for each user; an empty egress unpins it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from producers.cli.input.csv_rows import cells, detect_delimiter
from producers.cli.input.fields import normalize
from producers.cli.input.lines import numbered_lines
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.json_output import abbreviated_json
from producers.contract.validation import check_id
from producers.contract.wording import plural
from producers.errors import MISSING, InvalidId, abbreviated

COLUMNS = {"userid": "user_id", "egress": "egress"}
MAX_ROW_ERRORS = 1000
"""Errors that are kept; further ones are only counted."""


@dataclass(slots=True)
class PinFile:
    """What a file says.

    Attributes:
        pins: the egress of each user; None unpins it.
        invalid: how many lines are invalid.
        errors: what is wrong with the first `MAX_ROW_ERRORS` of them.
    """

    pins: dict[str, str | None] = field(default_factory=dict)
    invalid: int = 0
    errors: list[RowError] = field(default_factory=list)

    def refuse(self, error: RowError) -> None:
        """Count an invalid line."""
        self.invalid += 1
        if len(self.errors) < MAX_ROW_ERRORS:
            self.errors.append(error)


def read_pins(stream: BinaryIO) -> PinFile:
    """Read a whole file. A second line for a user is an error, since the file does not say which one is meant.

    Raises:
        BadInput: its header is not the names of the two columns.
    """
    found = PinFile()
    columns: list[str] | None = None
    delimiter = ","
    first_lines: dict[str, int] = {}
    for number, line in numbered_lines(stream):
        if not line:
            continue
        if isinstance(line, RowError):
            found.refuse(line)
        elif columns is None:
            delimiter = detect_delimiter(line)
            columns = _columns(number, cells(line, delimiter))
        else:
            row = cells(line, delimiter)
            _add(found, first_lines, number, dict(zip(columns, row, strict=False)) if _fits(row, columns) else line)
    if columns is None:
        raise BadInput("the file is empty; its first line must name the columns user_id and egress")
    return found


def _columns(line: int, names: list[str] | str) -> list[str]:
    found = [] if isinstance(names, str) else [COLUMNS.get(normalize(name), "") for name in names]
    if sorted(found) != sorted(COLUMNS.values()):
        shown = names if isinstance(names, str) else abbreviated(", ".join(names))
        raise BadInput(f"line {line} must name the columns, user_id and egress and no others; got {shown}")
    return found


def _fits(row: list[str] | str, columns: list[str]) -> bool:
    return isinstance(row, list) and len(row) == len(columns)


def _add(found: PinFile, first_lines: dict[str, int], number: int, row: dict[str, str] | str) -> None:
    """Add a row, or the error of one that is only a line of other form."""
    if isinstance(row, str):
        rule = f"must have {plural(len(COLUMNS), 'cell')} like the header"
        found.refuse(RowError(number, "line", rule, abbreviated_json(row)))
        return
    user_id, egress = row["user_id"], row["egress"]
    if not user_id:
        found.refuse(RowError(number, "userId", MISSING, ""))
        return
    try:
        check_id("userId", user_id)
        if egress:
            check_id("egress", egress)
    except InvalidId as exc:
        found.refuse(RowError(number, exc.argument, exc.rule, abbreviated_json(exc.value)))
        return
    first = first_lines.setdefault(user_id, number)
    if first != number:
        found.refuse(RowError(number, "userId", f"duplicate user; first on line {first}", abbreviated_json(user_id)))
        return
    found.pins[user_id] = egress or None
