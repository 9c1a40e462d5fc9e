"""The sliding windows, at times that the tests choose."""

from __future__ import annotations

import random

from ops.exchange.windows import SECOND_NS, EgressWindow, Peak, SlidingWindow

MS = 1_000_000


def test_a_full_window_refuses_and_is_free_exactly_one_span_after_its_oldest_arrival() -> None:
    """The window is half open: an arrival exactly 1 s later belongs to the next one."""
    window = SlidingWindow(2, SECOND_NS)
    assert [window.admit(at_ns) for at_ns in (0, 400 * MS, SECOND_NS, SECOND_NS + 400 * MS)] == [True] * 4
    assert not window.admit(2 * SECOND_NS - 1)


def test_refused_arrivals_count_so_that_a_client_that_hammers_stays_refused() -> None:
    """At 3 arrivals a second, a limit of 2 admits nothing until the client pauses for 1 s."""
    window = SlidingWindow(2, SECOND_NS)
    assert [window.admit(index * 333 * MS) for index in range(9)] == [True, True] + [False] * 7
    assert window.admit(8 * 333 * MS + SECOND_NS)


def test_a_sliding_window_sees_a_burst_across_the_border_of_two_seconds() -> None:
    """A fixed window would admit all 20 requests; the sliding one admits 10."""
    window = SlidingWindow(10, SECOND_NS)
    late_and_early = [990 * MS + index for index in range(10)] + [1_010 * MS + index for index in range(10)]
    assert sum(window.admit(at_ns) for at_ns in late_and_early) == 10


def test_evenly_paced_arrivals_at_the_limit_are_all_admitted() -> None:
    """One arrival every 100 ms is exactly the limit of 10 a second."""
    window = SlidingWindow(10, SECOND_NS)
    assert all(window.admit(index * 100 * MS) for index in range(100))


def test_an_ip_that_breached_its_minute_is_refused_everything_for_the_recovery_time() -> None:
    """The recovery starts at the breach, and silence does not shorten it."""
    window = EgressWindow(3, recovery_ns=300 * SECOND_NS)
    assert [window.admit(at_s * SECOND_NS) for at_s in (0, 1, 2, 3, 100, 302)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert window.admit(303 * SECOND_NS)


def test_an_ip_that_hammers_through_its_recovery_breaches_the_limit_again_right_after_it() -> None:
    """Arrivals during the recovery count toward the minute that follows."""
    window = EgressWindow(3, recovery_ns=10 * SECOND_NS)
    admitted = [at_s for at_s in range(40) if window.admit(at_s * SECOND_NS)]
    assert admitted == [0, 1, 2]


def test_the_peak_is_what_counting_every_window_by_hand_finds() -> None:
    """Random arrivals against the slow definition."""
    rng = random.Random(7)  # noqa: S311  any arrivals will do
    for _ in range(50):
        arrivals = sorted(rng.randrange(5 * SECOND_NS) for _ in range(rng.randrange(1, 60)))
        peak = Peak()
        for at_ns in arrivals:
            peak.observe(at_ns)
        by_hand = max(sum(end - SECOND_NS < at_ns <= end for at_ns in arrivals) for end in arrivals)
        assert peak.highest == by_hand
