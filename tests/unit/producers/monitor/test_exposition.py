"""The metrics of a process as a scraper reads them."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from producers.monitor.exposition import exposition
from producers.monitor.instruments import Counter, Family, Gauge, Histogram


def samples_of(*families: Family) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what a scraper reads, by name and labels, without the metrics of the process itself."""
    own = {family.name.removesuffix("_total") for family in families}
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for found in text_string_to_metric_families(exposition(families).decode())
        for sample in found.samples
        if found.name in own
    }


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_counters_and_gauges_have_a_series_for_the_values_of_their_labels() -> None:
    """A counter without labels is there from the start, so that its first count is an increase."""
    errors = Counter("errors_total", "Errors.", "kind")
    errors.begin("away")
    errors.add("full")
    errors.add("full", amount=2)
    depth = Gauge("depth", "Depth.", "priority")
    depth.set(7, "bulk")
    depth.set(3, "bulk")
    depth.watch(lambda: 5, "interactive")
    depth.watch(lambda: None, "unknown")

    assert samples_of(errors, depth, Counter("lapses_total", "Lapses.")) == {
        labelled("errors_total", kind="away"): 0,
        labelled("errors_total", kind="full"): 3,
        labelled("depth", priority="bulk"): 3,
        labelled("depth", priority="interactive"): 5,
        labelled("lapses_total"): 0,
    }


def test_a_histogram_counts_each_value_in_its_bucket_and_in_all_above() -> None:
    """A value that equals an upper bound is within it, as Prometheus defines `le`."""
    took = Histogram("took_seconds", "Time.", (0.1, 1), "route")
    for seconds in (0.05, 0.1, 0.5, 3):
        took.observe(seconds, "/livez")

    found = samples_of(took)

    assert [found[labelled("took_seconds_bucket", route="/livez", le=le)] for le in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert found[labelled("took_seconds_count", route="/livez")] == 4
    assert math.isclose(found[labelled("took_seconds_sum", route="/livez")], 3.65)


def test_the_process_itself_is_measured() -> None:
    """So that its memory, its CPU time and its start can be seen."""
    text = exposition([]).decode()

    assert "\nprocess_resident_memory_bytes " in text
    assert "\nprocess_start_time_seconds " in text
