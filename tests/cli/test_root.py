"""What all commands share: help, exit statuses, errors, an unreachable Redis, commands of other packages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ops.redis_server import free_port
from producers import errors
from producers.cli import root as root_module
from producers.cli.exit_codes import ExitCode, exit_code_for
from producers.cli.root import root
from producers.errors import ProducerError
from tests.support.copytrade import FLAGS, Copytrade

READING = ("batch list", "paused", "dead list", "top --once", "user show 1001")


@click.command()
def greet() -> None:
    """Say hello."""
    click.echo("hello")


NOT_A_COMMAND = object()


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("words", ["batch list", "paused", "credentials list", "user show 1001"])
@pytest.mark.usefixtures("credentials_command")
def test_json_and_redis_are_accepted_at_any_place(copytrade: Copytrade, words: str, position: int) -> None:
    """Before, between and after the names of a command, for commands of other packages too."""
    for options in (["--json"], ["--json", "--redis", copytrade.dsn]):
        parts = words.split()
        parts[position:position] = options

        assert copytrade(*parts).stdout == copytrade(*words.split(), "--json").stdout


def test_without_words_it_shows_help_with_status_2() -> None:
    """A script that forgets its arguments must not look successful."""
    shown = CliRunner().invoke(root, [])

    assert shown.exit_code == ExitCode.BAD_INPUT
    assert "Commands:" in shown.output


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["batch", "no-such"], ["status"], ["--no-such"], ["status", "--x"]]
)
def test_wrong_usage_is_one_line_that_names_help(words: list[str]) -> None:
    """Exit status 2, with nothing on standard output."""
    shown = CliRunner().invoke(root, words)

    assert shown.exit_code == ExitCode.BAD_INPUT
    assert shown.stdout == ""
    (line,) = shown.stderr.splitlines()
    assert "--help" in line


def test_every_error_has_an_exit_status() -> None:
    """A new error class fails this test until it has an entry."""
    expected = {
        "InvalidChange": 2,
        "InvalidArgument": 2,
        "InvalidId": 2,
        "InvalidLimit": 2,
        "InvalidCursor": 2,
        "SettingsError": 2,
        "ChangeConflict": 2,
        "BatchConflict": 2,
        "BatchRefused": 2,
        "ReplayRefused": 2,
        "MalformedChange": 2,
        "LaneFull": 1,
        "QueueUnavailable": 3,
        "WrongEventLoop": 2,
        "QueueFull": 3,
        "ShardsUnavailable": 3,
        "ResultTimeout": 5,
        "JobNotFound": 4,
        "BatchNotFound": 4,
        "DeadLetterNotFound": 4,
        "LayoutMismatch": 2,
        "MigrationRefused": 2,
    }
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ProducerError) and kind is not ProducerError
    ]

    assert {kind.__name__: int(exit_code_for(kind.__new__(kind))) for kind in kinds} == expected


@pytest.mark.parametrize(
    ("words", "name", "status"),
    [(("status", "nobody"), "Ended", 4), (("pause",), "BadInput", 2), (("status", "--x"), "NoSuchOption", 2)],
)
def test_an_error_is_a_document_with_json(copytrade: Copytrade, words: tuple[str, ...], name: str, status: int) -> None:
    """Scripts rely on the names of errors."""
    document = json.loads(copytrade(*words, "--json", status=status).stderr)

    assert (document["error"], document["status"], set(document)) == (name, status, {"error", "message", "status"})


@pytest.mark.parametrize("command", READING)
def test_without_redis_every_command_ends_with_one_line_and_status_3(command: str) -> None:
    """The line does not show the password of the DSN."""
    copytrade = Copytrade(f"redis://:secret@127.0.0.1:{free_port()}/0")

    said = copytrade.error(*command.split(), status=3)

    assert "Redis did not answer" in said
    assert "--redis" in said
    assert "secret" not in said


@pytest.mark.parametrize("words", [("paused",), ("enqueue", "--user", "1001", *FLAGS), ("user", "pin", "1001", "far")])
def test_a_single_server_that_is_named_as_a_cluster_is_a_wrong_setting(valkey_dsn: str, words: tuple[str, ...]) -> None:
    """Nothing was accepted, and nothing is to be repeated."""
    said = Copytrade(valkey_dsn.replace("redis://", "redis+cluster://")).error(*words, status=2)

    assert "this Redis is not in cluster mode" in said
    assert "begin --redis with redis://" in said
    assert not any(word in said for word in ("may or may not", "repeat", "again"))


def test_a_malformed_dsn_is_reported_without_its_password() -> None:
    """Exit status 2, with the name of the option."""
    said = Copytrade("http://user:secret@host/0").error("paused", status=2)

    assert "Invalid value for '--redis': must start with" in said
    assert "secret" not in said


def test_the_dsn_comes_from_the_environment_too(valkey_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The --redis option takes precedence."""
    monkeypatch.setenv("COPYTRADE_REDIS_DSN", valkey_dsn)

    assert CliRunner().invoke(root, ["paused", "--json"]).stdout == "[]\n"
    assert CliRunner().invoke(root, ["paused", "--redis", "http://"]).exit_code == ExitCode.BAD_INPUT


def join(monkeypatch: pytest.MonkeyPatch, **commands: str) -> None:
    points = EntryPoints(EntryPoint(name, value, root_module.COMMANDS_GROUP) for name, value in commands.items())
    monkeypatch.setattr(root_module, "entry_points", lambda group: points.select(group=group))


def test_a_command_of_another_package_is_listed_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is enough to add it."""
    join(monkeypatch, greet=f"{__name__}:greet")

    assert "greet" in CliRunner().invoke(root, ["--help"]).stdout
    assert CliRunner().invoke(root, ["greet"]).stdout == "hello\n"


@pytest.mark.parametrize("target", ["no.such.module:x", f"{__name__}:nothing", f"{__name__}:NOT_A_COMMAND"])
def test_a_command_that_cannot_be_loaded_is_a_warning_and_breaks_no_other(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """The help warns of it; only its own use is an error, with status 1."""
    join(monkeypatch, broken=target, greet=f"{__name__}:greet")

    listed = CliRunner().invoke(root, ["--help"])
    asked = CliRunner().invoke(root, ["broken"])

    assert "greet" in listed.stdout
    assert "warning: the command 'broken'" in listed.stderr
    assert CliRunner().invoke(root, ["greet"]).stderr == ""
    assert asked.exit_code == ExitCode.FAILED
    assert "cannot be loaded" in asked.stderr


def test_a_command_of_another_package_does_not_replace_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in command wins when the names are equal."""
    join(monkeypatch, status=f"{__name__}:greet")

    assert CliRunner().invoke(root, ["status", "--help"]).stdout.startswith("Usage: copytrade status")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )


def test_an_app_that_enqueues_needs_neither_click_nor_rich() -> None:
    """Both are dependencies of the command line only."""
    run = run_python(
        "import sys; sys.modules['rich'] = None; import producers\n"
        "print('producers.cli' in sys.modules, any(name.startswith('rich.') for name in sys.modules))"
    )

    assert run.stdout.split() == ["False", "False"]


def test_the_schema_is_one_document() -> None:
    """Editors and other validators can load it as JSON."""
    assert json.loads(CliRunner().invoke(root, ["schema"]).stdout)
