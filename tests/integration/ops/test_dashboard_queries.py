"""The dashboard's queries are PromQL, by Prometheus's own tool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ops.dashboard.panels import GROUPS

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian's prometheus) is not installed")
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """As rules, which promtool can check without a server."""
    expressions = [query.expression for panels in GROUPS.values() for panel in panels for query in panel.queries]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(expressions)
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    run = subprocess.run(  # noqa: S603
        [str(PROMTOOL), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    assert f"{len(rules)} rules found" in run.stdout
