"""What the worker's doctor makes of what it met."""

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
def test_a_clock_that_the_exchange_would_refuse_is_a_failure(offset_s: float, uncertain_s: float, status: str) -> None:
    """It refuses what is more than 30 s off; what is surely not in step is told from 5 s on."""
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
def test_only_what_tells_the_exchange_s_time_is_the_exchange(
    http_status: int, took_s: float, status: str, words: str, *, has_time: bool
) -> None:
    """A proxy's page has none; a 429 is the exchange all the same."""
    check = checks.check_exchange(http_status, took_s, has_time=has_time)

    assert check.status == status
    assert words in check.detail
    assert bool(check.hint) == (status != "ok")


def test_a_source_that_does_not_tell_how_many_users_it_has_is_readable_all_the_same() -> None:
    """A store need not be counted."""
    assert checks.check_credentials(3).detail == "readable, of 3 users"
    assert checks.check_credentials(None).detail == "readable"
    assert checks.check_credentials(None).status is CheckStatus.OK
