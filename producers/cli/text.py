"""Formatting of texts, times, durations and counts for output."""

from __future__ import annotations

import math
from datetime import UTC, datetime

EMPTY_CELL = "-"
"""Printed where there is no value."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def escape(text: str) -> str:
    """Return the text on one line, with every unprintable character as an escape sequence.

    Messages from the exchange and IDs may contain terminal control sequences or marks that change the text direction.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def format_time(unix_ms: int | None) -> str:
    """Return a time in UTC, such as 2026-07-04 12:00:00Z; `EMPTY_CELL` for none."""
    if not unix_ms:
        return EMPTY_CELL
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def iso_timestamp(unix_ms: int | None) -> str:
    """Return a time for programs: ISO 8601 in UTC, to the millisecond; empty if there is none."""
    if not unix_ms:
        return ""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_duration(seconds: float | None) -> str:
    """Return a duration with a unit, such as "4.2 s" or "3 h 05 min"; `EMPTY_CELL` for none or infinity."""
    if seconds is None or not math.isfinite(seconds):
        return EMPTY_CELL
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - tenths matter below ten
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S:02} h"


def format_count(number: int) -> str:
    """Return a number with thousands separators."""
    return f"{number:,}"
