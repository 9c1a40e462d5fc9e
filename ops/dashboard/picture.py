"""A picture of the dashboard, in SVG: a panel for each, with what its queries answered. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ops.dashboard.charts import Chart, Frame
from ops.dashboard.model import Panel
from ops.dashboard.prometheus import Series

COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT, GAP = 420, 250, 14
ROW_TITLE, EVENT_LINE, TOP = 34, 18, 58
EVENT_COLUMNS = 3
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333 }
.page { font-size: 18px; font-weight: 600 } .row { font-size: 14px; font-weight: 600 }
.title { font-size: 12px; font-weight: 600 } .tick { fill: #777; font-size: 10px }
.grid { stroke: #e6e6e6 } .event { stroke: #b0b0b0; stroke-dasharray: 3 3 } .number { fill: #888; font-size: 9px }
.panel { fill: #fff; stroke: #d8d8d8 } .line { fill: none; stroke-width: 1.4 }
"""

Event = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Answered:
    """A panel with the series that each of its queries answered."""

    panel: Panel
    answers: Sequence[Sequence[Series]]


def draw(
    title: str, groups: Mapping[str, Sequence[Answered]], events: Sequence[Event], start_s: float, end_s: float
) -> str:
    """Return the picture.

    Args:
        title: of the whole.
        groups: the panels by the title of their row.
        events: what happened in the run, and when, in seconds since its start.
        start_s: the start, Unix seconds.
        end_s: the end.
    """
    width = COLUMNS * PANEL_WIDTH + (COLUMNS + 1) * GAP
    top = TOP + -(-len(events) // EVENT_COLUMNS) * EVENT_LINE
    body = [f'<text class="page" x="{GAP}" y="32">{escape(title)}</text>', *_event_list(events, width)]
    for name, group in groups.items():
        body.append(f'<text class="row" x="{GAP}" y="{top + 22}">{escape(name)}</text>')
        top += ROW_TITLE
        for index, answered in enumerate(group):
            row, column = divmod(index, COLUMNS)
            frame = Frame(
                left=GAP + column * (PANEL_WIDTH + GAP),
                top=top + row * (PANEL_HEIGHT + GAP),
                width=PANEL_WIDTH,
                height=PANEL_HEIGHT,
                start_s=start_s,
                end_s=end_s,
            )
            lines = {name: series for query in zip(answered.panel.queries, answered.answers, strict=True)
                     for name, series in _named(query[0].legend, query[1])}  # fmt: skip
            body += Chart(answered.panel.title, answered.panel.unit, lines, frame).draw([at_s for at_s, _ in events])
        top += -(-len(group) // COLUMNS) * (PANEL_HEIGHT + GAP)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">'
    background = f'<rect width="{width}" height="{top}" fill="#f7f7f8"/>'
    return "\n".join([opening, f"<style>{STYLE}</style>", background, *body, "</svg>"]) + "\n"


def _event_list(events: Sequence[Event], width: int) -> Iterator[str]:
    for index, (at_s, text) in enumerate(events):
        row, column = divmod(index, EVENT_COLUMNS)
        left, top = GAP + column * (width - GAP) / EVENT_COLUMNS, TOP + row * EVENT_LINE
        yield f'<text x="{left:.0f}" y="{top}">{index + 1}. after {at_s:.0f} s: {escape(text)}</text>'


def _named(legend: str, answer: Sequence[Series]) -> Iterator[tuple[str, Series]]:
    """Yield series with their names, as Grafana makes them."""
    for series in sorted(answer, key=lambda series: sorted(series.labels.items())):
        name = legend
        for label, value in series.labels.items():
            name = name.replace(f"{{{{{label}}}}}", value)
        yield name, series
