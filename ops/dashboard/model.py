"""What a dashboard is made of: panels, their queries, units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """Units as Grafana names them."""

    SECONDS = "s"
    PER_SECOND = "cps"
    COUNT = "short"
    CORES = "none"
    BYTES = "bytes"
    YES_OR_NO = "bool"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expression: in PromQL.
        legend: what its series are called; `{{label}}` stands for the value of a label.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: its title.
        unit: of its values.
        meaning: what to look for.
        queries: what it shows.
    """

    title: str
    unit: Unit
    meaning: str
    queries: tuple[Query, ...]
