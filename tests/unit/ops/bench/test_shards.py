"""The figures of the benchmark of shards."""

from __future__ import annotations

import pytest

from ops.bench.shards import Drain, busiest_node, measurements

ROUNDS = [
    {1: Drain(1000, (100.0, 0.0, 0.0)), 3: Drain(900, (40.0, 40.0, 30.0))},
    {1: Drain(500, (200.0, 0.0, 0.0)), 3: Drain(600, (150.0, 50.0, 50.0))},
    {1: Drain(2000, (100.0, 10.0, 0.0)), 3: Drain(1900, (50.0, 40.0, 20.0))},
]


def test_what_shards_cost_of_redis_is_the_median_of_rounds() -> None:
    """Each round is a comparison of its own: the machine's load differs between rounds."""
    *values, cost = measurements("three primaries", 3, ROUNDS)

    assert [value.value for value in values] == [1000, 900, 110, 110]
    assert cost.value == pytest.approx(10)
    assert cost.met is True


def test_the_busiest_node_is_found_in_each_round() -> None:
    """It may be another one each time."""
    busiest = busiest_node(3, ROUNDS)

    assert busiest.value == pytest.approx(100 * 50 / 110)
    assert busiest.met is True
