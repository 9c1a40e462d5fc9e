"""The figures of the benchmark of clusters."""

from __future__ import annotations

import pytest

from ops.bench.cluster import CLUSTER, PAIR, SERVER, Drained, measurements
from ops.bench.elections import resumed_ns
from ops.bench.lost_primary import Case
from ops.bench.measurement import NS_PER_S


def drained(rate_per_s: float) -> Drained:
    return Drained(rate_per_s, redis_us=100, worker_us=300)


def test_a_clusters_cost_is_the_median_of_rounds() -> None:
    """Each round is a comparison of its own: the machine's load differs between rounds."""
    rounds = [
        {SERVER: drained(1000), PAIR: drained(900), CLUSTER: drained(900)},
        {SERVER: drained(500), PAIR: drained(500), CLUSTER: drained(400)},
        {SERVER: drained(2000), PAIR: drained(1000), CLUSTER: drained(1900)},
    ]

    measured = [measurement.value for measurement in measurements(rounds)]

    assert measured[:9] == [1000, 100, 300, 900, 100, 300, 900, 100, 300]
    assert measured[9:] == pytest.approx([0, 10])


def test_sending_goes_on_after_the_longest_silence() -> None:
    """Requests of claims before the kill are not it, and neither is what came before the kill."""
    arrivals_ns = [round(at_s * NS_PER_S) for at_s in (1, 9.9, 10.1, 11.5, 14.2, 14.3, 15)]

    assert resumed_ns(arrivals_ns, 10 * NS_PER_S) == 14.2 * NS_PER_S


def test_the_worst_loss_is_told_with_its_case() -> None:
    """With and without WAIT, with a replica that was connected and one that was cut off."""
    worst, accepted = Case(with_wait=False, is_cut_off=True, accepted=[100, 300], lost=[7, 5]).measurements()

    assert (worst.value, accepted.value) == (7, 200)
    assert "cut off 0.5 s before, without WAIT" in worst.name
    assert "connected, with WAIT 1 100" in Case(True, False, [1], [0]).measurements()[0].name
