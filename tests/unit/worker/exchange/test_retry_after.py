"""The header Retry-After: seconds, dates, and whatever else may stand in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.exchange.retry_after import MAX_RETRY_AFTER_S, parse_retry_after

NOW_MS = 784_111_777_000
"""Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20.0),
        (" 007 ", 7.0),
        ("0", 0.0),
        ("601", MAX_RETRY_AFTER_S),
        ("9" * 50, MAX_RETRY_AFTER_S),
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20.0),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20.0),
        ("Sun Nov  6 08:49:57 1994", 20.0),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("Mon, 06 Nov 2034 08:49:37 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_seconds_and_dates_are_read_within_bounds(value: str, seconds: float) -> None:
    """A date in the past asks for no wait."""
    assert parse_retry_after(value, NOW_MS) == seconds


@pytest.mark.parametrize(
    "value", [None, "", "-5", "1.5", "soon", "5 s", "\u0665", "9" * 100, "Sun, 99 Nov 1994 99:99:99 GMT", "nan", "1e3"]
)
def test_what_is_neither_is_ignored(value: str | None) -> None:
    """As if there were no header."""
    assert parse_retry_after(value, NOW_MS) is None


@given(st.text(max_size=80) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,9}.{0,20}"))
def test_no_value_raises_or_exceeds_the_bounds(value: str) -> None:
    """Whatever a proxy may write there."""
    seconds = parse_retry_after(value, NOW_MS)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S
