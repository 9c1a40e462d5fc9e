"""Errors in what people hand in: `BadInput` for all of it, `RowError` for one line."""

from __future__ import annotations

from dataclasses import dataclass

from producers.cli.json_output import abbreviated_json
from producers.errors import MISSING, InvalidChange


class BadInput(Exception):
    """Options or a file that a command cannot use; the message is one line that says what to do.

    Attributes:
        problem: the message without what can be done on the command line, for others who hand in files.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem + hint)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class RowError:
    """One invalid line of a file.

    Attributes:
        line: line number, counted from 1.
        field: the column or field by its wire name; "line" if the whole line is invalid.
        rule: the rule that the value breaks, such as "must be UTF-8".
        value: the value, shortened and escaped.
    """

    line: int
    field: str
    rule: str
    value: str

    @classmethod
    def from_invalid_change(cls, line: int, error: InvalidChange) -> RowError:
        """Return the error of a line whose change is invalid."""
        if error.value is None:
            return cls(line, error.field, MISSING, "")
        return cls(line, error.field, error.rule, abbreviated_json(error.value))


def describe(error: InvalidChange) -> str:
    """Return the error in words for a file or flags, where None is a value that was not given."""
    return f"{error.field}: {MISSING}" if error.value is None else str(error)
