"""Texts for people: nothing of them can steer a terminal, times are UTC, durations are short."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "-"
"""Stands for what is not there."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def safe(text: str) -> str:
    """A text in which everything that does not print is spelled out, so that it is one line and harmless.

    Messages of the exchange and IDs of others may hold escape sequences, or marks that turn the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def when(unix_ms: int | None) -> str:
    """A time, to the second, in UTC."""
    if not unix_ms:
        return NOTHING
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def timestamp(unix_ms: int | None) -> str:
    """A time for programs: ISO 8601, UTC, to the millisecond; empty if there is none."""
    if not unix_ms:
        return ""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """A duration, in the unit that fits."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
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


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"
