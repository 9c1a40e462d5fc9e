"""The files of ops/deploy, read by the programs that they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.deploy import DEPLOY, tool

UNITS = {"copytrade-worker@.service": "copytrade-worker@egress-a.service", "copytrade-gateway.service": None}
MAX_EXPOSURE = 15
"""In tenths. What is left, 1.2, is what the programs need: the network, local sockets, files that they read."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ,
    reason="systemd-analyze is not installed: the units are NOT CHECKED (Debian, Ubuntu: apt install systemd)",
)


def run(*command: str | Path, cwd: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    """Run a program; return what it printed."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603


def profile(*options: str) -> set[str]:
    """Return the services that Docker Compose would start."""
    found = run(tool("docker-compose"), *options, "config", "--services")
    assert found.returncode == 0, found.stderr
    return set(found.stdout.split())


def test_docker_compose_starts_the_double_only_when_it_is_asked_to() -> None:
    """With its own schema, and all references between services, secrets and volumes."""
    assert profile() == {"valkey", "worker", "gateway", "prometheus", "grafana"}
    assert profile("--env-file", "double.env") == profile() | {"exchange"}


def test_workers_send_to_the_double_when_it_is_started() -> None:
    """And to the exchange when it is not."""
    urls = [
        yaml.safe_load(run(tool("docker-compose"), *options, "config").stdout)["services"]["worker"]["environment"]
        for options in ([], ["--env-file", "double.env"])
    ]

    assert [each["COPYTRADE_EXCHANGE_URL"] for each in urls] == ["https://api.bitget.com", "http://exchange:8080"]


@pytest.mark.parametrize("path", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda path: path.name)
def test_kubernetes_knows_every_field(path: Path) -> None:
    """Also in the manifest for another egress, which is made from that of the first."""
    text = path.read_text(encoding="utf-8")
    for manifest in yaml.safe_load_all(text + "\n---\n" + text.replace("egress-a", "egress-b")):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path) -> None:
    """With this environment's programs in place of those in /opt/copytrade."""
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    path = tmp_path / (UNITS[name] or name)
    path.write_text(text.replace("/opt/copytrade/bin", str(Path(sys.executable).parent)), encoding="utf-8")

    found = run("systemd-analyze", "verify", "--man=no", path)

    assert [line for line in found.stderr.splitlines() if "copytrade" in line] == []
    assert found.returncode == 0


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_exposure_of_a_unit_stays_bounded(name: str) -> None:
    """As systemd counts it."""
    found = run(
        "systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", f"systemd/{name}"
    )

    assert found.returncode == 0, found.stdout
