"""`copytrade credentials set`, and what all `credentials` commands share."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
import tomllib
from asyncio.subprocess import PIPE
from importlib import import_module
from pathlib import Path

import click
import pytest
from arq.connections import ArqRedis

from ops.redis_server import free_port
from producers.cli import root as root_module
from producers.transport.dsn import open_redis
from tests.support.copytrade import Copytrade
from tests.support.sealed_keys import KEYS, LINES, OLD, keys, many, stored
from worker.credentials import prompts
from worker.credentials.command import credentials as group
from worker.credentials.key_ring import open_key_ring
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.secret import Secret

pytestmark = pytest.mark.usefixtures("credentials_command")

ROOT = Path(__file__).parents[2]


def test_the_entry_point_of_the_credentials_command_exists() -> None:
    """The name in pyproject.toml resolves to the command group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"][root_module.COMMANDS_GROUP]["credentials"].partition(":")

    assert getattr(import_module(module), name) is group


@pytest.mark.parametrize("command", group.commands.values(), ids=list(group.commands))
def test_no_option_accepts_a_secret(command: click.Command) -> None:
    """Process lists show arguments."""
    options = {name for param in command.params for name in param.opts}

    assert not options & {"--api-key", "--secret-key", "--passphrase", "--key"}, "secrets are no arguments"


@pytest.mark.parametrize("stdin", [LINES, json.dumps(KEYS)], ids=["three lines", "an object"])
def test_a_user_s_keys_are_set_from_standard_input(copytrade: Copytrade, stdin: str) -> None:
    """A second run replaces the first; three lines and a JSON object are both accepted."""
    assert copytrade("credentials", "set", "1001", stdin=stdin).stdout == "1 set: 1 new, 0 replaced\n"
    assert copytrade.json("credentials", "set", "1001", "--demo", stdin=stdin) == {"set": 1, "new": 0, "replaced": 1}

    assert stored(copytrade) == keys(demo=True)


def test_a_user_s_keys_are_prompted_for_on_a_terminal(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompts go to standard error, and the answers are not echoed."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)

    ran = copytrade("credentials", "set", "1001", stdin=LINES)

    assert stored(copytrade) == keys()
    assert "hush" not in ran.output
    assert "Passphrase of user 1001" in ran.stderr


async def test_typed_keys_are_not_echoed(valkey_dsn: str) -> None:
    """A real terminal, in a process of its own."""
    outer, inner = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "COPYTRADE_REDIS_DSN": valkey_dsn}
    code = "from producers.cli.root import root; from worker.credentials.command import credentials as c"
    code += "; root.add_command(c); root()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "credentials", "set", "1001"),
        stdin=inner,
        stdout=PIPE,
        stderr=PIPE,
        env=environ,
        start_new_session=True,
    )
    os.close(inner)
    assert process.stderr is not None
    for name, text in zip(prompts.PROMPTS, KEYS.values(), strict=True):
        await process.stderr.readuntil(f"{name} of user 1001: ".encode())
        os.write(outer, f"{text}\n".encode())
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    os.set_blocking(outer, False)
    try:
        echoed = os.read(outer, 4096)
    except OSError:  # nothing was written, and the other end is closed
        echoed = b""
    os.close(outer)

    assert (process.returncode, output) == (0, b"1 set: 1 new, 0 replaced\n"), errors
    assert b"hush" not in output + errors + echoed
    redis = open_redis(valkey_dsn, ArqRedis, timeout_s=5)
    assert await RedisCredentials(SealedRecords(redis), open_key_ring(Secret(OLD), "X")).get("1001") == keys()
    await redis.aclose()


def test_many_users_keys_are_set_from_lines(copytrade: Copytrade) -> None:
    """1200 users, one JSON object a line."""
    users = [str(number) for number in range(1200)]

    assert copytrade.json("credentials", "set", "--from-stdin", stdin=many(*users)) == {
        "set": 1200,
        "new": 1200,
        "replaced": 0,
    }
    assert stored(copytrade, "1199") == keys("1199")


def test_a_malformed_line_is_reported_without_values_and_nothing_is_set(copytrade: Copytrade) -> None:
    """All bad lines are named at once; a repeated user is one of them."""
    stdin = many("1001") + '{"userId": "1002", "apiKey": "hush"}\nhush\n' + many("1001")

    said = copytrade.error("credentials", "set", "--from-stdin", stdin=stdin, status=2)

    assert said.startswith("nothing was set: line 2: secret_key is missing")
    assert "line 3: not a JSON object" in said
    assert "line 4: duplicate user '1001'; first on line 1" in said
    assert "hush" not in said
    assert copytrade.json_lines("credentials", "list") == []


@pytest.mark.parametrize(
    ("words", "stdin", "problem"),
    [
        (("set",), LINES, "give either USER, or --from-stdin"),
        (("set", "1001", "--from-stdin"), LINES, "give either USER, or --from-stdin"),
        (("set", "--from-stdin", "--demo"), many("1"), "give either USER, or --from-stdin"),
        (("set", "--from-stdin"), "", "standard input is empty"),
        (("set", "--from-stdin"), "\n\n", "standard input is empty"),
        (("set", "1001"), "", "standard input has 0 lines"),
        (("set", "1001", "hush-key"), LINES, "unexpected extra argument"),
        (("set", "10 01"), LINES, "USER: must be"),
        (("set", "1001"), "hush" * 10_000, "standard input has more than"),
        (("set", "--from-stdin"), "hush" * 10_000, "line 1: longer than"),
        (("remove", "1001"), "", "there can be no confirmation; add --yes"),
        (("new-key", "--id", "a b"), "", "a key ID has 1 to 32 letters"),
    ],
)
def test_malformed_keys_are_one_line_with_status_2_and_change_nothing(
    copytrade: Copytrade, words: tuple[str, ...], stdin: str, problem: str
) -> None:
    """Cases: arguments, empty input, input beyond its bounds, and a missing confirmation."""
    assert problem in copytrade.error("credentials", *words, stdin=stdin, status=2)


def test_too_many_lines_are_rejected(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are held in memory as clear text, so their number is bounded."""
    monkeypatch.setattr(prompts, "MAX_LINES", 3)

    assert copytrade.json("credentials", "set", "--from-stdin", stdin=many("1", "2", "3"))["set"] == 3
    said = copytrade.error("credentials", "set", "--from-stdin", stdin=many("1", "2", "3", "4"), status=2)
    assert "more than 3 lines; split them up" in said


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("set", "1001"), ("remove", "1001", "--yes")])
def test_without_redis_every_command_ends_with_one_line_and_status_3(words: tuple[str, ...]) -> None:
    """The line has no traceback and no secret."""
    said = Copytrade(f"redis://127.0.0.1:{free_port()}/0").error("credentials", *words, stdin=LINES, status=3)

    assert "Redis did not answer" in said
    assert "hush" not in said


def test_without_the_worker_s_extra_the_command_says_what_is_missing(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help lists the command without a warning; only its use fails, with status 2."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("key_ring", "sealing", "admin", "sources", "redis_store"):
        monkeypatch.delitem(sys.modules, f"worker.credentials.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)

    assert copytrade("--help").stderr == ""
    for words in ("list", "new-key", "rotate"):
        assert "install copytrade-settings[worker]" in copytrade.error("credentials", words, status=2)
