"""The page of metrics has the metrics that there are: their names, types and labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from producers.gateway import GatewaySettings
from producers.gateway.api.monitoring import gateway_metrics
from producers.gateway.calls.service import Gateway
from producers.monitor.instruments import Counter, Family, Gauge, Histogram
from producers.monitor.queue_metrics import Memory, queue_metrics
from tests.support.overviews import overview
from tests.support.pages import table
from worker.metrics import WorkerMetrics

WORKERS = "| the worker's metric | type | labels | meaning |"
GATEWAYS = "| the gateway's metric | type | labels | meaning |"
NEVER_LABELS = {"user", "trader", "lane", "job", "batch"}
"""Their number has no bound, and so would that of the series."""

Described = dict[str, tuple[str, list[str]]]


def described(heading: str) -> Described:
    """Return type and labels of each metric of a table of the page."""
    return {
        name: (kind, [label for label in labels.split(", ") if label])
        for name, kind, labels, *_ in table("ops/METRICS.md", heading)
    }


def declared(families: Iterable[Family]) -> Described:
    """Return type and labels of each metric."""
    kinds = {Counter: "counter", Histogram: "histogram", Gauge: "gauge"}
    return {family.name: (kinds[type(family)], list(family.label_names)) for family in families}


def test_the_page_has_every_metric_of_the_worker() -> None:
    """With its type and labels, in the order of the code."""
    assert list(described(WORKERS).items()) == list(declared(WorkerMetrics()).items())


def test_the_page_has_every_metric_of_the_gateway() -> None:
    """Those of the queue, and those of the process itself."""
    served = [*queue_metrics(overview(), Memory(used=1, limit=2)), *gateway_metrics(Gateway(GatewaySettings()))]

    assert list(described(GATEWAYS).items()) == list(declared(served).items())


@pytest.mark.parametrize("heading", [WORKERS, GATEWAYS])
def test_every_metric_is_named_as_prometheus_asks(heading: str) -> None:
    """Counters alone end in `_total`; no label has as many values as there are users or changes."""
    found = described(heading)

    assert found
    for name, (kind, labels) in found.items():
        assert re.fullmatch(r"copytrade(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert NEVER_LABELS.isdisjoint(labels)
