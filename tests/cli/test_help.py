"""The help of every command, its examples, and the page of the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producers.cli.exit_codes import MEANINGS, ExitCode
from producers.cli.root import root
from tests.support.copytrade import Copytrade
from worker.credentials.command import credentials

PAGE = (Path(__file__).parents[2] / "producers" / "cli" / "README.md").read_text(encoding="utf-8")
COMMANDS = ("enqueue", "fan-out", "status", "result", "cancel", "batch", "user", "pause", "resume", "paused", "dead")


def test_help_lists_every_command_and_every_exit_status() -> None:
    """Each exit status is listed with its meaning."""
    shown = CliRunner().invoke(root, ["--help"])

    assert shown.exit_code == 0
    for name in (*COMMANDS, "top", "doctor", "schema"):
        assert f"  {name} " in shown.stdout
    for status, meaning in MEANINGS.items():
        assert f"{status.value:>3}  {meaning}" in shown.stdout


def walk(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    """Return every command below a command, with its path."""
    below = command.commands if isinstance(command, click.Group) else {}
    return [(path, command), *(found for name, each in below.items() for found in walk(each, f"{path} {name}".strip()))]


ALL = [*walk(root), *walk(credentials, "credentials")][1:]
"""Every command, with its path, that of another package included."""


@pytest.mark.parametrize("path", [path for path, _ in ALL if not path.startswith("credentials")])
def test_the_help_of_every_command_has_no_names_of_types(path: str) -> None:
    """A placeholder says what the value is, and bounds are words."""
    shown = CliRunner().invoke(root, [*path.split(), "--help"])

    assert shown.exit_code == 0
    assert re.search(r"FLOAT|INTEGER|TEXT|FILENAME|x<|x>", shown.stdout) is None


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_has_help_json_and_redis_options(path: str, command: click.Command) -> None:
    """The walk includes the subcommands of every group."""
    options = {name for param in command.params for name in param.opts}

    assert command.help, path
    assert {"--json", "--redis"} <= options
    assert all(param.help for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_the_list_of_commands_shows_whole_sentences(path: str, command: click.Command) -> None:
    """A description that is cut ends with dots."""
    assert command.get_short_help_str(60).endswith("."), path
    assert "..." not in command.get_short_help_str(60), path


EXAMPLES = [example for _, command in ALL for example in getattr(command, "examples", ())]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_help_runs(
    copytrade: Copytrade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    """With the page's settings file. What it names may be absent, but nothing is wrong usage."""
    settings = json.loads(PAGE.split("```json\n")[1].split("```")[0])
    (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "change.json").write_text(json.dumps({"userId": "1001", **settings}), encoding="utf-8")
    (tmp_path / "followers.csv").write_text("user_id\n1001\n", encoding="utf-8")
    (tmp_path / "followers.jsonl").write_text('"1001"\n', encoding="utf-8")
    (tmp_path / "pins.csv").write_text("user_id,egress\n1001,near\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = example.replace("--timeout 60", "--timeout 0").split()

    run = CliRunner().invoke(root, [*words[1:], "--redis", copytrade.dsn])

    assert words[0] == "copytrade"
    assert run.exit_code in (ExitCode.DONE, ExitCode.NOT_FOUND, ExitCode.TIMED_OUT), run.stderr


def test_the_page_lists_every_exit_status() -> None:
    """With the same meaning as the help text."""
    assert all(f"| {code.value} | {meaning} |\n" in PAGE for code, meaning in MEANINGS.items())
