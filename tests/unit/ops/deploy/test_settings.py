"""The files of ops/deploy set what there is, start what can be started, and fit to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ops.exchange import __main__ as exchange
from producers.cli.root import root
from producers.errors import SettingsError
from producers.gateway.settings import GatewaySettings
from producers.settings import EnvironmentSettings
from tests.support.deploy import DEPLOY, command_lines, compose, config_maps, manifests, pods, unit, unit_environment
from tests.support.pages import table
from worker.process import main as worker
from worker.process.supervisor import BAD_START
from worker.settings import WorkerSettings

FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.parts)
SECONDS = {"s": 1, "m": 60}


def environments() -> Iterator[tuple[str, type[EnvironmentSettings], dict[str, str]]]:
    """Yield the environments of workers and gateways, and where they are set."""
    for name, service in compose()["services"].items():
        values = {variable: str(value) for variable, value in service.get("environment", {}).items()}
        if service.get("image") == "copytrade-settings" and values:
            yield f"compose.yaml, {name}", WorkerSettings if name in {"worker", "cli"} else GatewaySettings, values
    for name, values in config_maps().items():
        yield f"kubernetes, {name}", WorkerSettings if "worker" in name else GatewaySettings, values
    yield "worker.env", WorkerSettings, unit_environment("copytrade-worker@.service", "worker.env")
    yield "gateway.env", GatewaySettings, unit_environment("copytrade-gateway.service", "gateway.env")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_one_of_the_page_of_configuration(path: Path) -> None:
    """A name that is misspelt would have no effect."""
    known = {row[0] for row in table("ops/CONFIGURATION.md", "| variable | default | side | meaning |")}

    assert set(re.findall(r"\bCOPYTRADE_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("case", list(environments()), ids=lambda case: case[0])
def test_every_value_is_accepted(case: tuple[str, type[EnvironmentSettings], dict[str, str]], tmp_path: Path) -> None:
    """And each variable is one of that program."""
    _, side, values = case
    (tmp_path / "dsn").write_text("redis://valkey:6379/0", encoding="utf-8")
    own = {variable: value for variable, value in values.items() if variable.startswith("COPYTRADE_")}
    fields = {variable.removeprefix("COPYTRADE_").lower() for variable in own}

    side.from_env(own | {"COPYTRADE_REDIS_DSN": f"file:{tmp_path / 'dsn'}"})

    assert fields <= set(side.__struct_fields__)


@pytest.mark.parametrize("case", list(command_lines()), ids=lambda case: case[0])
def test_every_command_line_is_accepted(
    case: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each program reads its own; nothing is started."""
    _, words = case
    match words:
        case ["python", "-m", "worker", *options]:
            monkeypatch.setattr(WorkerSettings, "from_env", _stop)
            assert worker.main(options) == BAD_START  # with a wrong option it raises SystemExit
        case ["python", "-m", "ops.exchange", *options]:
            path = tmp_path / "credentials.toml"
            path.write_text('[users.1]\napi_key = "a"\nsecret_key = "b"\npassphrase = "c"\n', encoding="utf-8")
            changed = [f"file:{path}" if option.startswith("file:") else option for option in options]
            exchange._build_parser().parse_args(changed)
        case ["copytrade", *options]:
            parse(root, options)
        case _:
            pytest.fail(f"no program of ours: {words}")


def _stop() -> None:
    raise SettingsError("read far enough")


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line without running it."""
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    command.make_context("copytrade", words)


def test_workers_get_the_time_that_their_stop_takes() -> None:
    """What is in flight ends, and three calls of Redis may time out."""
    settings = WorkerSettings()
    needed_s = settings.stop_timeout_s + 3 * settings.redis_timeout_s
    values = config_maps()["copytrade-worker"]
    grace = compose()["services"]["worker"]["stop_grace_period"]
    given_s = {
        "compose": int(grace[:-1]) * SECONDS[grace[-1]],
        "systemd": int(unit("copytrade-worker@.service")["TimeoutStopSec"][0]),
        "kubernetes": pods()["copytrade-worker-egress-a"]["terminationGracePeriodSeconds"],
    }

    assert int(values["COPYTRADE_STOP_TIMEOUT_S"]) == settings.stop_timeout_s
    assert int(values["COPYTRADE_REDIS_TIMEOUT_S"]) == settings.redis_timeout_s
    assert all(seconds >= needed_s for seconds in given_s.values()), given_s


def test_probes_ask_where_the_programs_answer() -> None:
    """By the port that the command line or the settings name."""
    values = config_maps()["copytrade-worker"]
    worker_port = int(values["COPYTRADE_METRICS_PORT"])
    ports = {"copytrade-worker-egress-a": worker_port, "copytrade-gateway": 8321}
    for name, pod in pods().items():
        (container,) = pod["containers"]
        (port,) = container["ports"]
        paths = {
            kind: (container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
            for kind in ("readinessProbe", "livenessProbe")
        }

        assert port["containerPort"] == ports[name]
        assert paths == {"readinessProbe": ("/readyz", port["name"]), "livenessProbe": ("/livez", port["name"])}

    services = compose()["services"]
    for name, service_port in (
        ("worker", services["worker"]["environment"]["COPYTRADE_METRICS_PORT"]),
        ("gateway", 8321),
    ):
        assert f"http://127.0.0.1:{service_port}/readyz" in services[name]["healthcheck"]["test"][-1]


def test_prometheus_scrapes_the_services_that_there_are() -> None:
    """By name and port of the compose file."""
    services = compose()["services"]
    found = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    jobs: dict[str, Any] = {each["job_name"]: each for each in found["scrape_configs"]}
    (workers,) = jobs["copytrade-worker"]["dns_sd_configs"]

    assert workers["names"] == ["worker"]
    assert workers["port"] == services["worker"]["environment"]["COPYTRADE_METRICS_PORT"]
    assert jobs["copytrade-gateway"]["static_configs"] == [{"targets": ["gateway:8321"]}]
    assert all((DEPLOY / "prometheus" / name).exists() for name in found["rule_files"])


def test_the_policies_let_probes_and_scrapes_in_where_they_are_served() -> None:
    """And nobody else anywhere."""
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"}
    open_ports = {
        name: [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
        for name, spec in policies.items()
    }

    assert open_ports == {"nothing-else": [], "copytrade-worker": [9464], "copytrade-gateway": [8321]}
    assert policies["nothing-else"]["podSelector"] == {}


def test_every_container_of_ours_is_closed() -> None:
    """Read-only, without capabilities, as a user that is not root."""
    for service in compose()["services"].values():
        if service["image"] == "copytrade-settings":
            assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    for pod in pods().values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_both_units_have_the_same_hardening() -> None:
    """It is written twice, since a file of systemd cannot include another."""
    texts = [
        (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        for name in ("copytrade-worker@.service", "copytrade-gateway.service")
    ]
    blocks = [re.search(r"UMask=.*?(?=\n\n)", text, re.DOTALL) for text in texts]

    assert blocks[0] is not None
    assert blocks[1] is not None
    assert blocks[0][0] == blocks[1][0]


def test_the_gateways_log_is_kept_and_its_sign_in_link_is_not() -> None:
    """Standard error would go where standard output goes, if it were not said."""
    settings = unit("copytrade-gateway.service")

    assert settings["StandardOutput"] == ["null"]
    assert settings["StandardError"] == ["journal"]
