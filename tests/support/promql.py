"""What a PromQL expression names: enough of its grammar to find metrics, their labels and the values of those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SELECTOR = re.compile(r"\b((?:copytrade|process)[_:][\w:]+|up\b)(?:\s*\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric in an expression.

    Attributes:
        name: its name.
        wanted: the values that labels must have, by label.
        labels: all labels that it is matched by.
    """

    name: str
    wanted: dict[str, list[str]]
    labels: set[str]


def selectors(expression: str) -> Iterator[Selector]:
    """Yield the metrics of an expression."""
    for name, matchers in _SELECTOR.findall(expression):
        found = _MATCHER.findall(matchers)
        wanted = {label: value.split("|") for label, operator, value in found if operator in ("=", "=~")}
        yield Selector(name, wanted, {label for label, *_ in found})


def grouping_labels(expression: str) -> set[str]:
    """Return the labels by which an expression groups or matches."""
    return {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",") if label.strip()}
