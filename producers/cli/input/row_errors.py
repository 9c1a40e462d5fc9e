"""Errors in input files: of the whole input, and of a single line."""

from __future__ import annotations

from dataclasses import dataclass

from producers.errors import InvalidChange, abbreviated


class BadInput(Exception):
    """Input that cannot be used at all; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One invalid line of a file.

    Attributes:
        line: line number, counted from 1.
        field: the column or field by its wire name; "line" if the whole line is invalid.
        rule: the rule that the value breaks.
        value: the value, shortened and escaped.
    """

    line: int
    field: str
    rule: str
    value: str

    @classmethod
    def from_invalid_change(cls, line: int, error: InvalidChange) -> RowError:
        """Return the error of a line whose change is invalid."""
        return cls(line, error.field, error.rule, abbreviated(error.value))
