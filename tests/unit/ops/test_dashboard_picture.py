"""The picture of the dashboard: numbers and their places."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from ops.dashboard.charts import format_value, nice_step
from ops.dashboard.model import Panel, Query, Unit
from ops.dashboard.panels import GROUPS
from ops.dashboard.picture import Answered, draw
from ops.dashboard.prometheus import Series

PANEL = Panel("Changes <that> end", Unit.PER_SECOND, "", (Query("rate(x)", "{{outcome}} & more"),))


def picture(*series: Series) -> str:
    """Return a picture of one panel, from second 1000 to 1060."""
    return draw("A run", {"Row": [Answered(PANEL, [series])]}, [(30.0, "a fault")], 1000, 1060)


def test_a_series_is_a_line_with_a_gap_where_values_are_missing() -> None:
    """It is named by the value of its label, and what has a meaning in XML is text."""
    found = picture(Series({"outcome": "applied"}, [(1000, 1.0), (1001, 2.0), (1005, 3.0), (1006, float("inf"))]))

    (path,) = re.findall(r'class="line"[^>]* d="([^"]*)"', found)
    assert re.sub(r"[\d. ]+", "", path) == "MLM"
    texts = [element.text for element in ET.fromstring(found).iter() if element.text]  # noqa: S314 - our own
    assert {"applied & more", "Changes <that> end", "1. after 30 s: a fault", "0:30"} <= set(texts)


def test_a_query_without_an_answer_says_so() -> None:
    """Instead of an empty panel."""
    assert "no values" in picture()


def test_values_below_zero_are_shown() -> None:
    """Such as a clock that is behind."""
    found = picture(Series({"outcome": "x"}, [(1000, -3.0), (1001, 4.0)]))

    ticks = re.findall(r">(-?\d+)/s<", found)
    assert [int(tick) for tick in ticks] == [-4, -2, 0, 2, 4]


@pytest.mark.parametrize(("high", "step"), [(1, 0.5), (7, 2), (95, 50), (4_000, 1_000), (0.03, 0.01), (0, 0.5)])
def test_ticks_are_round_numbers(high: float, step: float) -> None:
    """Four at most, and the one above the highest value."""
    assert nice_step(high) == pytest.approx(step)


def test_values_have_units() -> None:
    """Short ones."""
    assert [
        format_value(0.25, Unit.SECONDS),
        format_value(90, Unit.SECONDS),
        format_value(5 * 2**20, Unit.BYTES),
        format_value(12_000, Unit.COUNT),
        format_value(2.5, Unit.PER_SECOND),
    ] == ["250 ms", "90 s", "5 MiB", "12,000", "2.5/s"]


def test_every_panel_is_drawn() -> None:
    """Also without any values."""
    groups = {
        title: [Answered(panel, [[]] * len(panel.queries)) for panel in panels] for title, panels in GROUPS.items()
    }
    found = draw("A run", groups, [], 0, 60)

    for panels in GROUPS.values():
        assert all(f">{panel.title}<" in found for panel in panels)
