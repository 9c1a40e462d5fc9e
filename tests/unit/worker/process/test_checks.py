"""The checks of the worker's doctor."""

from __future__ import annotations

import pytest

from producers.monitor.checks import CheckStatus
from worker.process import checks


@pytest.mark.parametrize(
    ("offset_s", "uncertain_s", "status"),
    [
        (0, 0, "ok"),
        (4.9, 0, "ok"),
        (-5.1, 0, "warn"),
        (29.9, 0, "warn"),
        (-30.1, 0, "fail"),
        (3_600, 0.1, "fail"),
        (31, 2, "warn"),
        (6, 2, "ok"),
    ],
)
def test_a_clock_difference_of_30_s_is_a_failure_and_of_5_s_a_warning(
    offset_s: float, uncertain_s: float, status: str
) -> None:
    """What the round trip leaves uncertain is subtracted first."""
    assert checks.check_clock_skew(offset_s, uncertain_s).status == status


@pytest.mark.parametrize(
    ("http_status", "took_s", "has_time", "status", "words"),
    [
        (200, 0.05, True, "ok", "answers HTTP 200 after 50 ms"),
        (400, 0.05, True, "ok", "answers HTTP 400"),
        (200, 1.5, True, "warn", "after 1500 ms"),
        (429, 0.05, False, "warn", "too many requests from this IP"),
        (403, 0.05, False, "fail", "without the exchange's time"),
        (200, 0.05, False, "fail", "without the exchange's time"),
    ],
)
def test_only_a_reply_with_the_exchange_s_time_is_the_exchange(
    http_status: int, took_s: float, status: str, words: str, *, has_time: bool
) -> None:
    """A proxy's page has none; a 429 has."""
    check = checks.check_exchange(http_status, took_s, has_time=has_time)

    assert check.status == status
    assert words in check.detail
    assert bool(check.hint) == (status != "ok")


def test_a_source_without_a_user_count_passes_the_check() -> None:
    """Not every source can count its users, so the number is left out."""
    assert checks.check_credentials(3).detail == "readable, of 3 users"
    assert checks.check_credentials(None).detail == "readable"
    assert checks.check_credentials(None).status is CheckStatus.OK
