"""The figures of the benchmark of clusters."""

from __future__ import annotations

import pytest

from ops.bench.cluster import CLUSTER, PAIR, SERVER, measurements
from ops.bench.elections import resumed_ns
from ops.bench.lost_primary import Case
from ops.bench.measurement import NS_PER_S


def test_a_clusters_cost_is_the_median_of_rounds() -> None:
    """Each round is a comparison of its own: the machine's load differs between rounds."""
    rounds = [
        {SERVER: 1000.0, PAIR: 900.0, CLUSTER: 900.0},
        {SERVER: 500.0, PAIR: 500.0, CLUSTER: 400.0},
        {SERVER: 2000.0, PAIR: 1000.0, CLUSTER: 1900.0},
    ]

    server, pair, cluster, of_server, of_pair = measurements(rounds)

    assert (server.value, pair.value, cluster.value) == (1000, 900, 900)
    assert of_server.value == pytest.approx(10)
    assert of_server.met
    assert of_pair.value == pytest.approx(0)


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
