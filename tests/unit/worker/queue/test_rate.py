"""Rates in microseconds."""

from __future__ import annotations

import pytest

from producers.queue.bucket import MAX_PER_WINDOW, WINDOW_PAD_US
from worker.queue.rate import CATCH_UP, EGRESS_BURST_S, Pacing


def pacing(user: float = 10, egress: float = 100, margin: float = 0) -> Pacing:
    return Pacing.from_rates(user_rate_per_s=user, egress_rate_per_s=egress, margin_percent=margin)


@pytest.mark.parametrize(
    ("rate", "pace_us", "per_window", "window_us"),
    [
        (10, 100_000, 10, 1_000_000),
        (5, 200_000, 5, 1_000_000),
        (1, 1_000_000, 1, 1_000_000),
        (2.5, 400_000, 2, 800_000),
        (0.5, 2_000_000, 1, 2_000_000),
        (99.9, 10_010, 99, 990_991),
        (1000, 1_000, MAX_PER_WINDOW, 100_000),
    ],
)
def test_a_user_rate_is_a_pace_and_a_window(rate: float, pace_us: int, per_window: int, window_us: int) -> None:
    """A window has the whole requests of a second, and its length is padded."""
    figures = pacing(rate)

    assert (figures.pace_us, figures.per_window) == (pace_us, per_window)
    assert figures.window_us == window_us + WINDOW_PAD_US


@pytest.mark.parametrize("rate", [0.1, 0.9, 1, 3, 7.7, 10, 50, 100, 500])
def test_windows_never_allow_more_than_the_rate(rate: float) -> None:
    """Also for fractional rates and for those below one a second."""
    figures = pacing(rate)

    assert figures.per_window / (figures.window_us / 1e6) <= rate


def test_a_margin_slows_the_pace_and_not_the_guard() -> None:
    """The window is an exact guard, so it needs no margin."""
    assert pacing(margin=10).pace_us == 110_000
    assert pacing(margin=10).window_us == pacing().window_us


def test_a_late_claim_catches_up_half_a_pace() -> None:
    """Less than one, so that two slots never coincide."""
    assert pacing().catch_up_us == round(100_000 * CATCH_UP) < pacing().pace_us


def test_an_egress_stays_below_its_limit_in_any_minute() -> None:
    """The limit is 6,000 requests; the burst is included, and room is left for other requests."""
    figures = pacing()

    most = (60_000_000 + figures.egress_burst_us) / figures.egress_pace_us + 1
    assert 5900 < most < 5980
    assert figures.egress_burst_us == EGRESS_BURST_S * 1_000_000


def test_the_highest_rate_has_a_pace_of_a_microsecond() -> None:
    """A pace of zero would be no limit."""
    figures = pacing(1e9, 1e9)

    assert (figures.pace_us, figures.egress_pace_us) == (1, 1)
