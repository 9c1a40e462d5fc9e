"""The metrics of a process in Prometheus's text format. It needs the extra `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from producers.monitor.instruments import Counter, Family, Gauge, Histogram

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The format that every scraper reads. OpenMetrics takes twice as long to write, and says no more of these metrics."""


def exposition(families: Iterable[Family]) -> bytes:
    """Return metrics as text, and after them those of the process itself (`process_`, `python_`)."""
    return generate_latest(_Collector(families))


class _Collector(Collector):
    """What prometheus-client asks for the metrics."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from map(_metric, self._families)
        for of_process in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            yield from of_process.collect()


def _metric(family: Family) -> Metric:
    text = (family.name, family.documentation)
    match family:
        case Counter():
            counter = CounterMetricFamily(*text, labels=family.label_names)
            for labels, number in family.values.items():
                counter.add_metric(labels, number)
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(*text, labels=family.label_names)
            for labels, read in family.readers.items():
                value = read()
                if value is not None:
                    gauge.add_metric(labels, value)
            return gauge
        case Histogram():
            bounds = [*map(floatToGoString, family.bounds), "+Inf"]
            histogram = HistogramMetricFamily(*text, labels=family.label_names)
            for labels, found in family.distributions.items():
                histogram.add_metric(labels, list(zip(bounds, accumulate(found.counts), strict=True)), found.total)
            return histogram
    raise TypeError(f"{family.name} is of no kind that can be exposed")
