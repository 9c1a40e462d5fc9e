"""The header Retry-After: how long the exchange asks to wait. No I/O; the clock is a parameter."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_tz
from typing import Final

MAX_RETRY_AFTER_S: Final = 600.0
"""Longer waits are cut to this: a wrong value must not stop a user for hours."""

_MAX_CHARS = 64  # a date has 29
_MAX_DIGITS = 9


def parse_retry_after(value: str | None, now_ms: int) -> float | None:
    """Return the seconds to wait, from 0 to `MAX_RETRY_AFTER_S`; None if there is no value, or it is malformed.

    Args:
        value: a number of seconds, or an HTTP date (RFC 9110, section 10.2.3).
        now_ms: the exchange's time, Unix milliseconds.
    """
    text = (value or "").strip()
    if not text.isascii() or len(text) > _MAX_CHARS:
        return None
    if text.isdigit():
        return MAX_RETRY_AFTER_S if len(text) > _MAX_DIGITS else min(float(text), MAX_RETRY_AFTER_S)
    at_s = _http_date(text)
    return None if at_s is None else min(max(0.0, at_s - now_ms / 1000), MAX_RETRY_AFTER_S)


def _http_date(text: str) -> float | None:
    """Return the Unix time of a date in any of the three forms of HTTP. A date without a zone is in GMT."""
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else datetime(*parsed[:6], tzinfo=UTC).timestamp() - (parsed[9] or 0)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
