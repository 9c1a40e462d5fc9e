"""One panel of the picture: axes, lines, legend. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ops.dashboard.model import Unit
from ops.dashboard.prometheus import STEP_S, Series

COLORS = ("#3b6fb6", "#d9822b", "#3a9a5b", "#c23b3b", "#7a5ab5", "#8c6d46", "#c2589d", "#5f6b7a", "#a2a52f", "#2aa5a5")
MAX_LEGENDS = 8
PAD_LEFT, PAD_TOP, PAD_RIGHT = 52, 28, 12
LEGEND_LINE, CHAR_WIDTH, KEY_WIDTH = 15, 6.8, 24
TICKS = 4
TIME_TICK_S = 30
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of a panel, and the time that it shows."""

    left: float
    top: float
    width: float
    height: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel.

    Attributes:
        title: its title.
        unit: of its values.
        lines: the series by their names.
        frame: where it is.
    """

    title: str
    unit: Unit
    lines: Mapping[str, Series]
    frame: Frame

    def draw(self, events_s: Sequence[float]) -> Iterator[str]:
        """Yield its elements; at each event, in seconds since the start, there is a line."""
        frame = self.frame
        yield (
            f'<rect class="panel" x="{frame.left:.0f}" y="{frame.top:.0f}" width="{frame.width}"'
            f' height="{frame.height}" rx="3"/>'
        )
        yield f'<text class="title" x="{frame.left + 10:.0f}" y="{frame.top + 18:.0f}">{escape(self.title)}</text>'
        legend = list(self._legend())
        plot = _Plot(self, legend_height=LEGEND_LINE * (1 + max((line for line, *_ in legend), default=0)))
        yield from plot.axes(events_s)
        for number, series in enumerate(self.lines.values()):
            yield from plot.line(series, COLORS[number % len(COLORS)])
        for line, left, color, name in legend:
            y = frame.top + frame.height - plot.legend_height + line * LEGEND_LINE + 6
            if color:
                yield f'<rect x="{left:.0f}" y="{y - 6:.0f}" width="10" height="3" fill="{color}"/>'
            yield f'<text x="{left + 14:.0f}" y="{y:.0f}">{escape(name)}</text>'
        if not self.lines:
            yield f'<text class="tick" x="{frame.left + PAD_LEFT + 8}" y="{frame.top + PAD_TOP + 16}">no values</text>'

    def _legend(self) -> Iterator[tuple[int, float, str, str]]:
        """Yield the line, the left edge, the color and the text of each entry."""
        shown = [(COLORS[number % len(COLORS)], name) for number, name in enumerate(self.lines)]
        if len(shown) > MAX_LEGENDS:
            shown = [*shown[: MAX_LEGENDS - 1], ("", f"and {len(shown) - MAX_LEGENDS + 1} more")]
        line, left = 0, self.frame.left + 10
        for color, name in shown:
            wide = KEY_WIDTH + CHAR_WIDTH * len(name)
            if left > self.frame.left + 10 and left + wide > self.frame.left + self.frame.width - PAD_RIGHT:
                line, left = line + 1, self.frame.left + 10
            yield line, left, color, name
            left += wide


class _Plot:
    """The area with the lines."""

    def __init__(self, chart: Chart, *, legend_height: float) -> None:
        frame = self._frame = chart.frame
        self.legend_height = legend_height
        self._unit = chart.unit
        self._left, self._right = frame.left + PAD_LEFT, frame.left + frame.width - PAD_RIGHT
        self._top, self._bottom = frame.top + PAD_TOP, frame.top + frame.height - legend_height - 24
        values = [value for series in chart.lines.values() for _, value in series.points if math.isfinite(value)]
        low, high = min(0.0, *values, 0.0), max(values, default=1.0)
        scale = MIB if chart.unit is Unit.BYTES else 1
        self._step = step = nice_step(high / scale, low / scale) * scale
        self._low = math.floor(low / step) * step
        self._high = max(step, math.ceil(high / step) * step)

    def axes(self, events_s: Sequence[float]) -> Iterator[str]:
        """Yield the grid, its labels, and the events."""
        for number in range(round((self._high - self._low) / self._step) + 1):
            value = self._low + number * self._step
            y = self._y(value)
            yield f'<path class="grid" d="M{self._left:.0f} {y:.1f}H{self._right:.0f}"/>'
            label = format_value(value, self._unit)
            yield f'<text class="tick" text-anchor="end" x="{self._left - 5:.0f}" y="{y + 3:.1f}">{label}</text>'
        for passed_s in range(0, int(self._frame.end_s - self._frame.start_s) + 1, TIME_TICK_S):
            x = self._x(self._frame.start_s + passed_s)
            yield (
                f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{self._bottom + 13:.1f}">'
                f"{passed_s // 60}:{passed_s % 60:02}</text>"
            )
        for number, at_s in enumerate(events_s, start=1):
            x = self._x(self._frame.start_s + at_s)
            yield f'<path class="event" d="M{x:.1f} {self._top:.0f}V{self._bottom:.0f}"/>'
            yield f'<text class="number" x="{x + 2:.1f}" y="{self._top + 7:.0f}">{number}</text>'

    def line(self, series: Series, color: str) -> Iterator[str]:
        """Yield a series as a path, with a gap wherever values are missing."""
        path, before_s = [], -math.inf
        for at_s, value in series.points:
            if math.isfinite(value):
                path.append(f"{'L' if at_s - before_s <= STEP_S else 'M'}{self._x(at_s):.1f} {self._y(value):.0f}")
                before_s = at_s
        if path:
            yield f'<path class="line" stroke="{color}" d="{"".join(path)}"/>'

    def _x(self, at_s: float) -> float:
        share = (at_s - self._frame.start_s) / (self._frame.end_s - self._frame.start_s)
        return self._left + share * (self._right - self._left)

    def _y(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._bottom - share * (self._bottom - self._top)


def nice_step(high: float, low: float = 0.0) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that makes some ticks between two values."""
    span = high - low or 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * TICKS >= span)


def format_value(value: float, unit: Unit) -> str:
    """Return a value with its unit, as short as Grafana writes it."""
    match unit:
        case Unit.SECONDS if 0 < abs(value) < 1:
            return f"{value * 1000:g} ms"
        case Unit.SECONDS:
            return f"{value:g} s"
        case Unit.BYTES:
            return f"{value / MIB:.0f} MiB"
        case Unit.PER_SECOND:
            return f"{value:g}/s"
        case Unit.COUNT | Unit.CORES | Unit.YES_OR_NO:
            return f"{value:,g}"
