"""The dashboard as Grafana imports it."""

from __future__ import annotations

from typing import Any

from ops.dashboard.model import Panel
from ops.dashboard.panels import GROUPS

COLUMNS, HEIGHT = 3, 8
WIDTH = 24 // COLUMNS
"""Grafana's grid has 24 columns."""

SCHEMA_VERSION = 39
"""Of Grafana 11; later ones migrate it."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, group in GROUPS.items():
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, 24, 1), "panels": []}
        )
        for index, panel in enumerate(group):
            row, column = divmod(index, COLUMNS)
            panels.append(_panel(panel, _place(column * WIDTH, top + 1 + row * HEIGHT, WIDTH, HEIGHT)))
        top += 1 + -(-len(group) // COLUMNS) * HEIGHT
    return {
        "uid": "copytrade",
        "title": "Copy-trade settings queue",
        "tags": ["copytrade"],
        "schemaVersion": SCHEMA_VERSION,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {"name": "filters", "label": "Only", "type": "adhoc", "datasource": DATASOURCE},
            ]
        },
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, start=1)],
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "gridPos": place,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit.value}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query.expression, "legendFormat": query.legend}
            for index, query in enumerate(panel.queries)
        ],
    }
