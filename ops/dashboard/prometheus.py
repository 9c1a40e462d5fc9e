"""A real Prometheus: it scrapes some processes each second, with the alerts loaded, and answers queries."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ops.children import child_group
from ops.redis_server import free_port
from ops.stack import START_TIMEOUT_S, stop

ALERTS = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yml"
RATE_INTERVAL_S = 8
"""What stands for Grafana's `$__rate_interval`: some scrapes, so that one that fails leaves no hole."""

STEP_S = 1
POLL_INTERVAL_S = 0.1

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer.

    Attributes:
        labels: its labels.
        points: Unix seconds and values, in their order; NaN is left out.
    """

    labels: Mapping[str, str]
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs."""

    http: aiohttp.ClientSession

    async def query(self, expression: str, start_s: float, end_s: float) -> list[Series]:
        """Return what a query of the dashboard shows.

        Raises:
            ValueError: the server does not understand it.
        """
        expression = expression.replace("$__rate_interval", f"{RATE_INTERVAL_S}s")
        parameters = {"query": expression, "start": f"{start_s}", "end": f"{end_s}", "step": f"{STEP_S}"}
        async with self.http.get("/api/v1/query_range", params=parameters) as answer:
            found: dict[str, Any] = await answer.json()
        if found["status"] != "success":
            raise ValueError(f"{expression}: {found['error']}")
        return [
            Series(each["metric"], [(at_s, float(value)) for at_s, value in each["values"] if value != "NaN"])
            for each in found["data"]["result"]
        ]


@asynccontextmanager
async def scraping(folder: Path, targets: Mapping[str, Sequence[str]]) -> AsyncIterator[Prometheus]:
    """Run a Prometheus meanwhile.

    Args:
        folder: for its configuration and data.
        targets: host:port of each process, by job.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        sys.exit("prometheus is not installed (Debian, Ubuntu: apt install prometheus)")
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(_config(targets)), encoding="utf-8")  # JSON is YAML
    options = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}")
    process = await asyncio.create_subprocess_exec(
        binary, *options, f"--web.listen-address=127.0.0.1:{port}",
        stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, process_group=child_group(),
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await _is_ready(http):  # noqa: ASYNC110 - asks another process
                    await asyncio.sleep(POLL_INTERVAL_S)
            yield Prometheus(http)
    finally:
        await stop(process)


def _config(targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{STEP_S}s", "evaluation_interval": f"{STEP_S}s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }


async def _is_ready(http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get("/-/ready") as answer:
            return answer.ok
    except aiohttp.ClientConnectionError:
        return False
