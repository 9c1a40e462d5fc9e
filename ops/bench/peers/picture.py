"""The picture of a report, in SVG: drain rates as bars, idle arrivals as points on a logarithmic scale. No I/O.

It is narrow, so that its text can be read on a phone; its style has the colors for light and for dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ops.bench.peers.goals import ARRIVAL, DRAIN, IDLE, RATE
from ops.bench.peers.page import number
from ops.bench.peers.report import BARE, OURS, OURS_64, Report, Row

WIDTH = 400
RIGHT = 330
"""Where the highest value ends; its figure is to the right."""

CHAR_WIDTH, NAMES_GAP, MAX_LEFT = 6.9, 8, 190

ROW, TITLE, SCALE, FOOTER_LINE = 21, 30, 26, 15
MARGIN = 12
SHOWN_WIDTH = 600
"""Pixels, where the page has room for them."""

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 13px }
.small { font-size: 11px; fill: #59636e } .page { fill: #ffffff } .grid { stroke: #d1d9e0 }
.peer { fill: #5b8db8 } .ours { fill: #d55e00 } .bare { fill: none; stroke: #59636e; stroke-dasharray: 3 2 }
.spread { stroke: #1f2328; stroke-width: 1.4 }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #3d444d }
.peer { fill: #79b8ff } .ours { fill: #ffa657 } .bare { stroke: #9198a1 } .spread { stroke: #f0f6fc }
.value { stroke: #0d1117 }
}
"""

Place = Callable[[float], float]
"""Returns the distance of a value from the left edge."""


@dataclass(frozen=True, slots=True)
class Line:
    """One program's line in a chart.

    Attributes:
        title: the program's.
        kind: "ours", "peer" or "bare".
        median: the figure.
        low: its lowest round.
        high: its highest round.
    """

    title: str
    kind: str
    median: float
    low: float
    high: float


def picture(report: Report) -> str:
    """Return the picture of a report; a load that it does not have is left out."""
    machine = report.machine
    drawn = [load for load in report.loads if load.name in (DRAIN, IDLE)]
    footer = (
        f"{machine.cores} cores of {machine.cpu}, {machine.redis}, Python {machine.python}",
        *(f"{load.name}: median and spread of {load.rounds} rounds, {load.date}" for load in drawn),
    )
    left = _left(report)
    body, top = [], float(MARGIN)
    for load, figure, title, draw in (
        (DRAIN, RATE, "Drain: jobs a second, more is better", _bars),
        (IDLE, ARRIVAL, "Idle: ms to the exchange, less is better (log scale)", _points),
    ):
        lines = _lines(report, load, figure)
        if lines:
            body.append(f'<text class="title" x="{MARGIN}" y="{top + 14:.0f}">{escape(title)}</text>')
            body += draw(lines, left, top + TITLE)
            top += TITLE + len(lines) * ROW + SCALE
    for line in footer:
        top += FOOTER_LINE
        body.append(f'<text class="small" x="{MARGIN}" y="{top - 6:.0f}">{escape(line)}</text>')
    height = top + 4
    shown = f'width="{SHOWN_WIDTH}" height="{height * SHOWN_WIDTH / WIDTH:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height:.0f}" {shown}>'
    title = "<title>Drain rate and idle arrival of each program</title>"
    background = f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>'
    return "\n".join([opening, title, f"<style>{STYLE}</style>", background, *body, "</svg>"]) + "\n"


def _left(report: Report) -> float:
    """Return where values begin: the names of all programs are to the left."""
    longest = max((len(program.title) for program in report.programs), default=0)
    return min(MAX_LEFT, MARGIN + longest * CHAR_WIDTH + NAMES_GAP)


def _lines(report: Report, load_name: str, figure_name: str) -> list[Line]:
    """Return the lines of a chart, the best first."""
    titles = {program.name: program.title for program in report.programs}
    for load in report.loads:
        if load.name == load_name:
            better = next(figure.better for figure in load.figures if figure.name == figure_name)
            lines = [_line(row, figure_name, titles) for row in load.rows if figure_name in row.figures]
            return sorted(lines, key=lambda line: line.median, reverse=better == "higher")
    return []


def _line(row: Row, figure: str, titles: dict[str, str]) -> Line:
    spread = row.figures[figure]
    kind = {OURS: "ours", OURS_64: "ours", BARE: "bare"}.get(row.program, "peer")
    return Line(titles[row.program], kind, spread.median, spread.low, spread.high)


def _bars(lines: Sequence[Line], left: float, top: float) -> Iterator[str]:
    """Yield bars from zero."""
    highest = max(line.high for line in lines)

    def place(value: float) -> float:
        return left + (RIGHT - left) * value / highest

    for index, line in enumerate(lines):
        y = top + index * ROW
        width = place(line.median) - left
        yield f'<rect class="{line.kind}" x="{left:.1f}" y="{y + 3:.0f}" width="{width:.1f}" height="14"/>'
        yield from _labels(line, left, y, place)


def _points(lines: Sequence[Line], left: float, top: float) -> Iterator[str]:
    """Yield points between powers of ten."""
    first = math.floor(math.log10(min(line.low for line in lines)))
    last = max(first + 1, math.ceil(math.log10(max(line.high for line in lines))))

    def place(value: float) -> float:
        return left + (RIGHT - left) * (math.log10(value) - first) / (last - first)

    bottom = top + len(lines) * ROW
    for power in range(first, last + 1):
        x = place(10.0**power)
        yield f'<path class="grid" d="M{x:.1f} {top:.0f}V{bottom:.0f}"/>'
        yield f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{bottom + 13:.0f}">{10.0**power:,.0f} ms</text>'
    for index, line in enumerate(lines):
        y = top + index * ROW
        yield from _labels(line, left, y, place)
        yield f'<circle class="{line.kind}" cx="{place(line.median):.1f}" cy="{y + 10:.0f}" r="5"/>'


def _labels(line: Line, left: float, top: float, place: Place) -> Iterator[str]:
    """Yield the name, the spread and the figure of a line."""
    low, high = place(line.low), place(line.high)
    yield f'<text text-anchor="end" x="{left - NAMES_GAP:.1f}" y="{top + 14:.0f}">{escape(line.title)}</text>'
    yield f'<path class="spread" d="M{low:.1f} {top + 10:.0f}H{high:.1f}"/>'
    x = max(high, place(line.median) + 5) + 5
    yield f'<text class="value" x="{x:.1f}" y="{top + 14:.0f}">{number(line.median)}</text>'
