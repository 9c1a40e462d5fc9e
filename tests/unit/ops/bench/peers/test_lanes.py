"""What the load `limited` makes of the exchange double's record."""

from __future__ import annotations

from typing import Any

import pytest

from ops.bench.measurement import NS_PER_MS, NS_PER_S
from ops.bench.peers.lanes import Applied, figures, floor_s, inversions


def arrival(user: str, number: int, at_ms: int, *, throttled: bool = False) -> dict[str, Any]:
    """Return a line of the double's record."""
    return {
        "user": user,
        "values": [] if throttled else [str(number)],
        "at_ns": at_ms * NS_PER_MS,
        "accepted": not throttled,
        "throttled": throttled,
    }


@pytest.mark.parametrize(
    ("numbers", "count"),
    [([], 0), ([1, 2, 3], 0), ([2, 1, 3], 1), ([3, 1, 2], 2), ([1, 1, 2], 0), ([1, 2, 1], 1)],
)
def test_a_change_is_out_of_order_if_a_later_one_was_applied_before_it(numbers: list[int], count: int) -> None:
    """A repetition counts only after a later change."""
    assert inversions(numbers) == count


@pytest.mark.parametrize(("changes", "seconds"), [(1, 0), (10, 0), (11, 1), (150, 14)])
def test_the_floor_is_what_ten_in_a_sliding_second_demand(changes: int, seconds: float) -> None:
    """The first ten need no time."""
    assert floor_s(changes) == seconds


def test_the_figures_are_of_what_was_applied_and_the_peak_of_all_requests() -> None:
    """A refused request counts in the second, and its change only where it was applied."""
    record = [
        arrival("", 1, 0),
        arrival("busy", 1, 1_000),
        arrival("busy", 2, 1_010, throttled=True),
        arrival("n1", 1, 1_100),
        arrival("busy", 3, 1_200),
        arrival("n2", 1, 1_300),
        arrival("busy", 2, 3_000),
    ]
    assert figures(Applied(record), busy="busy", expected=5, called_ns=NS_PER_S) == {
        "peak_in_1s": 3,
        "throttled": 1,
        "inversions": 1,
        "lost": 0,
        "repeated": 0,
        "over_floor_s": 2.0,
        "neighbours_p50_ms": pytest.approx(200),
        "neighbours_p99_ms": pytest.approx(298),
    }


def test_a_change_that_is_applied_again_is_counted_and_not_lost() -> None:
    """Each repetition counts."""
    record = [arrival("n1", number, at_ms) for at_ms, number in enumerate([1, 1, 2, 1])]
    found = figures(Applied([arrival("busy", 1, 0), *record]), busy="busy", expected=3, called_ns=0)
    assert (found["repeated"], found["lost"]) == (2, 0)


def test_there_are_no_times_of_a_program_that_lost_changes() -> None:
    """The quickest way is to do nothing."""
    found = figures(Applied([arrival("n1", 1, 0)]), busy="busy", expected=2, called_ns=0)
    assert found["lost"] == 1
    assert not {"over_floor_s", "neighbours_p50_ms"} & found.keys()
