"""Numbers on the command line, whose errors and help say "number" and not the names of Python's types."""

from __future__ import annotations

import math

import click


class Number(click.FloatRange):
    """A finite number within bounds."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail if the text is none, or out of bounds."""
        try:
            number = super().convert(value, None, None)  # type: ignore[arg-type]  # click passes the text
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(_rule(self, value), param, ctx)
        return number

    def _describe_range(self) -> str:
        return _bounds(self)  # what click shows in the help


class WholeNumber(click.IntRange):
    """A whole number within bounds."""

    name = "whole number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fail if the text is none, or out of bounds."""
        try:
            return super().convert(value, None, None)  # type: ignore[arg-type]  # click passes the text
        except click.BadParameter:
            self.fail(_rule(self, value), param, ctx)

    def _describe_range(self) -> str:
        return _bounds(self)  # what click shows in the help

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the placeholder of the value in the help."""
        del param, ctx
        return "NUMBER"


def _rule(kind: Number | WholeNumber, value: object) -> str:
    bounds = _bounds(kind)
    return f"must be a {kind.name}{' ' if bounds.startswith('from') else ', '}{bounds}; got {value!r}"


def _bounds(kind: Number | WholeNumber) -> str:
    if kind.max is None:
        return f"{kind.min:g} or more"
    if kind.min_open:
        return f"above {kind.min:g}, at most {kind.max:.12g}"
    return f"from {kind.min:g} to {kind.max:.12g}"
