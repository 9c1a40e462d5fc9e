"""The figures of the memory benchmark: a worker that grows is told from one that does not."""

from __future__ import annotations

import pytest

from ops.bench.memory import Sample, measurements


@pytest.mark.parametrize(("leak_mib", "met"), [(0.0, True), (0.5e-6, True), (50e-6, False)])
def test_growth_is_judged_over_the_second_half_only(leak_mib: float, met: bool) -> None:
    """What a worker needs to warm up is no leak; so much a change is."""
    samples = [Sample(0, 0.0)]
    for ended in range(1000, 201_000, 1000):
        warm = min(ended, 20_000) / 1000
        samples.append(Sample(ended, 60 + warm + leak_mib * ended + (ended // 1000) % 2 * 0.25))

    *marks, growth = measurements(samples, 200_000)

    assert [mark.name.split()[-2] for mark in marks] == ["20,000", "100,000", "200,000"]
    assert marks[0].value == pytest.approx(80 + leak_mib * 20_000)
    assert growth.value == pytest.approx(leak_mib * 100_000, abs=0.1)
    assert growth.met is met


def test_too_few_samples_show_no_growth() -> None:
    """A short run may be over with the first look."""
    assert measurements([Sample(0, 0.0), Sample(10, 60.0)], 10)[-1].value == 0
