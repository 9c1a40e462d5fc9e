"""The figures of the benchmark of metrics: what they cost, of drains that followed each other."""

from __future__ import annotations

from ops.bench.metrics import COUNTING, UNCOUNTING, Drained, measurements


def test_the_cost_is_that_of_the_median_round() -> None:
    """A round that another load disturbed does not decide; a faster drain with metrics is a negative cost."""
    rounds = [
        {COUNTING: Drained(980, 510), UNCOUNTING: Drained(1000, 500)},
        {COUNTING: Drained(500, 800), UNCOUNTING: Drained(1000, 500)},
        {COUNTING: Drained(1010, 505), UNCOUNTING: Drained(1000, 500)},
    ]

    rate, cost, cpu = measurements(rounds)

    assert (rate.value, round(cost.value, 6), cost.met) == (980, 2, True)
    assert (round(cpu.value, 6), cpu.met) == (2, True)


def test_a_cost_above_the_target_misses_it() -> None:
    """Of throughput and of CPU time alike."""
    _, cost, cpu = measurements([{COUNTING: Drained(960, 520), UNCOUNTING: Drained(1000, 500)}])

    assert (cost.met, cpu.met) == (False, False)
