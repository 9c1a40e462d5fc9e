"""Alerts and dashboard ask for metrics, labels and values that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.dashboard.grafana import dashboard
from ops.dashboard.panels import GROUPS
from producers.gateway import GatewaySettings
from producers.gateway.api.monitoring import gateway_metrics
from producers.gateway.calls.service import Gateway
from producers.monitor.instruments import Family, Histogram
from producers.monitor.queue_metrics import Memory, queue_metrics
from tests.support.overviews import overview
from tests.support.promql import grouping_labels, selectors
from worker.metrics import WorkerMetrics

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "ops" / "deploy"
PAGE = (ROOT / "ops" / "METRICS.md").read_text(encoding="utf-8")

GROUPS_OF_RULES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS_OF_RULES for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

OF_TARGETS = {"job", "instance", "pod", "le"}
"""What Prometheus and Kubernetes add to each series, and the label of buckets."""

QUERIES = {
    f"{panel.title}: {query.expression}": query
    for panels in GROUPS.values()
    for panel in panels
    for query in panel.queries
}


def served() -> dict[str, set[str]]:
    """Return the labels of all that workers and gateways serve, by name as it is asked for."""
    families: list[Family] = [
        *WorkerMetrics(),
        *queue_metrics(overview(), Memory(used=1, limit=2)),
        *gateway_metrics(Gateway(GatewaySettings())),
    ]
    found = {"up": {"job"}, "process_cpu_seconds_total": set[str](), "process_resident_memory_bytes": set[str]()}
    for family in families:
        endings = ("_bucket", "_sum", "_count") if isinstance(family, Histogram) else ("",)
        found |= {family.name + ending: set(family.label_names) for ending in endings}
    return found


def check_expression(expression: str) -> None:
    """Check that an expression asks for what is served."""
    labels_of = served() | {name: set[str]() for name in RECORDED}
    named = list(selectors(expression))
    assert named
    for selector in named:
        assert selector.name in labels_of
        assert selector.labels <= labels_of[selector.name]
        for values in selector.wanted.values():
            assert [value for value in values if f"`{value}`" not in PAGE] == []
    assert grouping_labels(expression) <= set().union(*labels_of.values()) | OF_TARGETS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_is_served(rule: dict[str, Any]) -> None:
    """Names, labels and their values: a typing error would silence it for ever."""
    check_expression(rule["expr"])


@pytest.mark.parametrize("title", QUERIES)
def test_a_panel_asks_for_what_is_served(title: str) -> None:
    """And is called by labels that its series have."""
    query = QUERIES[title]
    check_expression(query.expression)
    labels = {label for each in selectors(query.expression) for label in served()[each.name]}

    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= labels | OF_TARGETS


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_a_summary_and_a_page(name: str) -> None:
    """The page is named for the alert, or has a part that is."""
    page = Path(ALERTS[name]["annotations"]["runbook_url"])
    words = re.findall("[A-Z][a-z]+", name.removeprefix("Copytrade"))
    text = (ROOT / "ops" / "runbook" / page.name).read_text(encoding="utf-8")

    assert ALERTS[name]["labels"]["severity"] in {"critical", "warning"}
    assert ALERTS[name]["annotations"]["summary"].endswith((".", "{{ end }}."))
    assert page.parent == Path("https://runbook.example")
    assert page.stem == "-".join(words).lower() or f"\n## {name}\n" in text


def test_every_alert_is_tested() -> None:
    """By promtool: that it fires, and that it does not fire for less."""
    cases = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"]
    fired = {check["alertname"] for case in cases for check in case["alert_rule_test"] if check["exp_alerts"]}
    silent = {check["alertname"] for case in cases for check in case["alert_rule_test"] if not check["exp_alerts"]}

    assert fired == silent == set(ALERTS)


def test_the_file_for_grafana_is_that_of_the_panels() -> None:
    """Made by `python -m ops.dashboard json`."""
    assert json.loads((DEPLOY / "grafana" / "dashboard.json").read_text()) == dashboard()
