"""The metrics of a process in Prometheus's text format. It needs the extra `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from producers.monitor.instruments import Counter, Gauge, Histogram, Instrument

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The format that every scraper reads. OpenMetrics takes twice as long to write, and says no more of these metrics."""


def exposition(instruments: Iterable[Instrument]) -> bytes:
    """Return metrics as text, and after them those of the process itself (`process_`, `python_`)."""
    return generate_latest(_Collector(instruments))


class _Collector(Collector):
    """What prometheus-client asks for the metrics."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = instruments

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from map(_family, self._instruments)
        for of_process in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            yield from of_process.collect()


def _family(instrument: Instrument) -> Metric:
    name, meaning, labels = instrument.name, instrument.meaning, instrument.labels
    match instrument:
        case Counter():
            counts = CounterMetricFamily(name, meaning, labels=labels)
            for values, count in instrument.values.items():
                counts.add_metric(values, count)
            return counts
        case Gauge():
            gauges = GaugeMetricFamily(name, meaning, labels=labels)
            for values, value in instrument.values.items():
                gauges.add_metric(values, value)
            return gauges
        case Histogram():
            bounds = [*map(floatToGoString, instrument.bounds), "+Inf"]
            histograms = HistogramMetricFamily(name, meaning, labels=labels)
            for values, series in instrument.series.items():
                histograms.add_metric(values, list(zip(bounds, series.cumulative, strict=True)), series.total)
            return histograms
    assert_never(instrument)
