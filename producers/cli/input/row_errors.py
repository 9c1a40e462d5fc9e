"""What is wrong with what a person handed in."""

from __future__ import annotations

from dataclasses import dataclass

from producers.errors import InvalidChange, abbreviated


class BadInput(Exception):
    """Input that cannot be used at all; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One bad line of a file.

    Attributes:
        line: its number, from 1, as an editor counts.
        field: the column or field, in wire names; "line" if it is about the line as a whole.
        rule: what is asked of it.
        value: what was given, shortened, as it may be shown.
    """

    line: int
    field: str
    rule: str
    value: str

    @classmethod
    def of(cls, line: int, error: InvalidChange) -> Fault:
        """The fault that a refused change is."""
        return cls(line, error.field, error.rule, abbreviated(error.value))
