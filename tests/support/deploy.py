"""The files of ops/deploy, and the programs that check them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "ops" / "deploy"
OF_THE_PLACE = {"aclfile", "bind", "port", "dir"}
"""What a test's servers have of their own."""


def tool(name: str) -> Path:
    """Return a program of the tests' environment, such as hadolint."""
    return Path(sys.executable).with_name(name)


def configuration(*paths: Path) -> list[str]:
    """Return the lines of a server's configuration, without comments, and without what says where it is."""
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#") and line.split()[0] not in OF_THE_PLACE]


def node_configuration(valkey_conf: Path, node_conf: Path, aclfile: Path) -> dict[str, str]:
    """Return the configuration of a cluster's nodes."""
    lines = [*configuration(valkey_conf, node_conf), f"aclfile {aclfile}"]
    return dict(line.split(" ", 1) for line in lines)


def manifests() -> list[dict[str, Any]]:
    """Return the objects of all Kubernetes manifests."""
    paths = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [each for path in paths for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def pods() -> dict[str, dict[str, Any]]:
    """Return the pods of all Deployments, by the Deployment's name."""
    found = [each for each in manifests() if each["kind"] == "Deployment"]
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found}


def config_maps() -> dict[str, dict[str, str]]:
    """Return the variables of all ConfigMaps, by name."""
    return {each["metadata"]["name"]: each["data"] for each in manifests() if each["kind"] == "ConfigMap"}


def compose() -> dict[str, Any]:
    """Return the compose file, with the defaults of its variables."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return found


def unit(name: str) -> dict[str, list[str]]:
    """Return the settings of a systemd unit: all values of each."""
    settings: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def unit_environment(name: str, file: str) -> dict[str, str]:
    """Return the environment that a unit sets, with the example of its environment file."""
    lines = (DEPLOY / "systemd" / file).read_text(encoding="utf-8").splitlines()
    assignments = [*shlex.split(unit(name)["Environment"][0]), *(line for line in lines if not line.startswith("#"))]
    return {variable: value for variable, _, value in (each.partition("=") for each in assignments)}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield every command line of our programs in the files, and where it is."""
    for name, service in compose()["services"].items():
        if service.get("image") == "copytrade-settings":
            yield f"compose.yaml, {name}", [*service.get("entrypoint", []), *service["command"]]
    for name, pod in pods().items():
        yield f"kubernetes, {name}", pod["containers"][0]["command"]
    for name, file in (("copytrade-worker@.service", "worker.env"), ("copytrade-gateway.service", "gateway.env")):
        start = Template(unit(name)["ExecStart"][0])
        words = start.substitute(unit_environment(name, file)).split()
        yield name, [words[0].removeprefix("/opt/copytrade/bin/"), *words[1:]]
    cmd = re.search(r"^CMD (.*)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert cmd is not None
    yield "Dockerfile", yaml.safe_load(cmd[1])
