"""The form of errors, RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from producers.gateway.calls.escaped import EscapedText

TYPE_PREFIX = "urn:copytrade:problem:"
MAX_ROWS_SHOWN = 1000
"""Rows with an error that a problem lists; the others are counted."""


class RowProblem(EscapedText, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with one item of a body: its place from 0, or its line from 1.

    Attributes:
        type: a URN that names the kind of problem, as of a problem document: `lane-full` may be sent again later.
        rule: the rule, or what happened.
        index: the item's place from 0.
        line: or its line from 1.
        field: the field that breaks the rule, in wire names.
        value: what it was, as JSON text, cut to 80 characters.
    """

    type: str
    rule: str
    index: int | None = None
    line: int | None = None
    field: str | None = None
    value: str | None = None


class Problem(EscapedText, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A problem document.

    Attributes:
        type: a URN that names the kind of problem; programs go by it.
        title: the kind in words.
        status: the HTTP status.
        detail: what happened, to what, and what to do.
        field: the field that breaks a rule, in wire names.
        rule: the rule.
        value: what the field was, as JSON text, cut to 80 characters.
        errors: the items of a body that cannot be accepted.
        errors_left_out: how many more there are.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    rule: str | None = None
    value: str | None = None
    errors: list[RowProblem] | None = None
    errors_left_out: int = 0


def type_of(kind: str) -> str:
    """Return the type of a kind of problem, such as `LaneFull`."""
    return TYPE_PREFIX + _words(kind)


def problem_of(kind: str, status: HTTPStatus, detail: str, **fields: Any) -> Problem:
    """Return the problem of a kind."""
    title = _words(kind).replace("-", " ").capitalize()
    return Problem(type=type_of(kind), title=title, status=status.value, detail=detail, **fields)


def _words(kind: str) -> str:
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in kind).strip("-")
