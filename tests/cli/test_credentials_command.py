"""`copytrade credentials ...`."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
import tomllib
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import TypeVar

import click
import pytest
from arq.connections import ArqRedis

from ops.redis_server import free_port
from producers.cli import root as root_module
from producers.contract.keyspace import CREDENTIALS
from producers.transport.dsn import open_redis
from tests.cli.test_frame import walk
from tests.support.copytrade import Copytrade
from tests.support.redis_dump import dump
from worker.credentials import prompts
from worker.credentials.command import credentials as group
from worker.credentials.key_ring import new_entry, open_key_ring
from worker.credentials.model import Credentials
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.secret import Secret

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
OLD, NEW = new_entry("2026a"), new_entry("2026b")
KEYS = {"apiKey": "hush-key", "secretKey": "hush-secret", "passphrase": "hush-pass"}
LINES = "\n".join(KEYS.values()) + "\n"


@pytest.fixture(autouse=True)
def _joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands, as an installed package joins them; and a ring of one key."""
    point = EntryPoint("credentials", "worker.credentials.command:credentials", root_module.COMMANDS_GROUP)
    monkeypatch.setattr(root_module, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", OLD)


@pytest.fixture
def new_ring(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts a new key before the old one."""
    return lambda: monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", f"{NEW},{OLD}")


def on_redis(copytrade: Copytrade, work: Callable[[ArqRedis], Awaitable[T]]) -> T:
    """What the work returns, given a client."""

    async def connected() -> T:
        redis = open_redis(copytrade.dsn, ArqRedis, timeout_s=5)
        try:
            return await work(redis)
        finally:
            await redis.aclose()

    return asyncio.run(connected())


def stored(copytrade: Copytrade, user_id: str = "1001", entries: str = OLD) -> Credentials:
    """What a worker finds."""

    async def work(redis: ArqRedis) -> Credentials:
        return await RedisCredentials(SealedRecords(redis), open_key_ring(Secret(entries), "X")).get(user_id)

    return on_redis(copytrade, work)


def keys(user_id: str = "1001", *, demo: bool = False) -> Credentials:
    """What `KEYS` are."""
    api_key, secret_key, passphrase = map(Secret, KEYS.values())
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def many(*user_ids: str) -> str:
    """Lines for several users."""
    return "".join(json.dumps({"userId": user_id} | KEYS) + "\n" for user_id in user_ids)


def test_the_distribution_joins_the_commands_by_an_entry_point_that_exists() -> None:
    """Under the name that people type."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"][root_module.COMMANDS_GROUP]["credentials"].partition(":")

    assert getattr(import_module(module), name) is group


@pytest.mark.parametrize(("path", "command"), walk(group), ids=[path for path, _ in walk(group)])
def test_every_command_has_help_json_and_the_place_of_redis(path: str, command: click.Command) -> None:
    """As all commands have."""
    options = {name for param in command.params for name in param.opts}

    assert command.help, path
    assert {"--json", "--redis"} <= options
    assert all(param.help for param in command.params if isinstance(param, click.Option))
    assert not options & {"--api-key", "--secret-key", "--passphrase", "--key"}, "secrets are no arguments"


@pytest.mark.parametrize("stdin", [LINES, json.dumps(KEYS)], ids=["three lines", "an object"])
def test_a_user_s_keys_are_set_from_standard_input(copytrade: Copytrade, stdin: str) -> None:
    """And set again."""
    assert copytrade("credentials", "set", "1001", stdin=stdin).stdout == "1 set: 1 new, 0 replaced\n"
    assert copytrade.json("credentials", "set", "1001", "--demo", stdin=stdin) == {"set": 1, "new": 0, "replaced": 1}

    assert stored(copytrade) == keys(demo=True)


def test_a_user_s_keys_are_typed_where_somebody_sits(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for one by one, and not shown."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)

    ran = copytrade("credentials", "set", "1001", stdin=LINES)

    assert stored(copytrade) == keys()
    assert "hush" not in ran.output
    assert "Passphrase of user 1001" in ran.stderr


async def test_what_is_typed_at_a_terminal_is_not_echoed(valkey_dsn: str) -> None:
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
    """One object a line."""
    users = [str(number) for number in range(1200)]

    assert copytrade.json("credentials", "set", "--from-stdin", stdin=many(*users)) == {
        "set": 1200,
        "new": 1200,
        "replaced": 0,
    }
    assert stored(copytrade, "1199") == keys("1199")


def test_if_a_line_is_wrong_nothing_is_set(copytrade: Copytrade) -> None:
    """The message names the lines, and no value."""
    stdin = many("1001") + '{"userId": "1002", "apiKey": "hush"}\nhush\n' + many("1001")

    said = copytrade.error("credentials", "set", "--from-stdin", stdin=stdin, status=2)

    assert said.startswith("nothing was set: line 2: secret_key is missing")
    assert "line 3: not a JSON object" in said
    assert "line 4: an earlier line has user '1001' too" in said
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
def test_what_cannot_be_used_is_one_line_and_changes_nothing(
    copytrade: Copytrade, words: tuple[str, ...], stdin: str, problem: str
) -> None:
    """Exit status 2."""
    assert problem in copytrade.error("credentials", *words, stdin=stdin, status=2)


def test_too_many_lines_are_refused(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held in memory, in clear."""
    monkeypatch.setattr(prompts, "MAX_LINES", 3)

    assert copytrade.json("credentials", "set", "--from-stdin", stdin=many("1", "2", "3"))["set"] == 3
    said = copytrade.error("credentials", "set", "--from-stdin", stdin=many("1", "2", "3", "4"), status=2)
    assert "more than 3 lines; split them up" in said


def test_a_list_tells_of_everything_but_secrets(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """In the order of the users."""
    copytrade("credentials", "set", "1002", stdin=LINES)
    new_ring()
    copytrade("credentials", "set", "1001", "--demo", stdin=LINES)

    ran = copytrade("credentials", "list")
    names, *rows = [line.split("\t") for line in ran.stdout.splitlines()]
    documents = copytrade.json_lines("credentials", "list")

    assert names == ["user", "key", "set", "demo", "fingerprint", "problem"]
    assert [(row[0], row[1], row[3], row[4], row[5]) for row in rows] == [
        ("1001", "2026b", "yes", keys(demo=True).fingerprint, "-"),
        ("1002", "2026a", "no", keys().fingerprint, "-"),
    ]
    assert [to_json["userId"] for to_json in documents] == ["1001", "1002"]
    assert set(documents[0]) == {"userId", "keyId", "setAtMs", "demo", "fingerprint", "problem"}
    assert "hush" not in ran.output + json.dumps(documents)


def test_a_list_tells_of_records_that_do_not_open(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key that is missing; the exit status is 1."""
    copytrade("credentials", "set", "1001", stdin=LINES)
    monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", NEW)

    (row,) = copytrade("credentials", "list", status=1).stdout.splitlines()[1:]

    assert "sealed with key '2026a', which is not in the key ring" in row


def test_rotation_is_checked_done_and_checked_again(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """The exit status of the check tells whether something is left."""
    copytrade("credentials", "set", "--from-stdin", stdin=many("1001", "1002", "1003"))
    new_ring()
    copytrade("credentials", "set", "1004", stdin=LINES)

    assert copytrade("credentials", "rotate", "--check", status=1).stdout.splitlines()[1:] == [
        "2026a\t3\t",
        "2026b\t1\tfirst",
    ]
    assert copytrade("credentials", "rotate").stdout == "3 sealed again with 2026b, 1 were already\n"
    assert copytrade.json("credentials", "rotate", "--check") == {
        "firstKey": "2026b",
        "byKey": {"2026b": 4},
        "unreadable": [],
        "left": 0,
    }
    assert copytrade.json("credentials", "rotate") == {
        "firstKey": "2026b",
        "rotated": 0,
        "already": 4,
        "unreadable": [],
    }
    assert stored(copytrade, "1002", NEW) == keys("1002")


def test_rotation_names_what_it_could_not_open(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """The exit status is 1, and stays so until these are set again or removed."""
    copytrade("credentials", "set", "1001", stdin=LINES)

    async def garble(redis: ArqRedis) -> None:
        await redis.hset(CREDENTIALS, mapping={f"9{number:02}": b"garbage" for number in range(25)})  # type: ignore[misc]

    on_redis(copytrade, garble)
    new_ring()

    ran = copytrade("credentials", "rotate", status=1)

    assert ran.stdout == "1 sealed again with 2026b, 0 were already, 25 unreadable\n"
    assert "its version is unknown to this program" in ran.stderr
    assert "... and 5 more; --json lists them" in ran.stderr
    assert copytrade.json("credentials", "rotate", "--check", status=1)["left"] == 25


def test_a_user_is_removed(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a ring: nothing is opened. A second time there is nothing to remove."""
    copytrade("credentials", "set", "--from-stdin", stdin=many("1001", "1002"))
    monkeypatch.delenv("COPYTRADE_CREDENTIALS_KEYS")

    assert copytrade.json("credentials", "remove", "1001", "--yes") == {"userId": "1001", "removed": True}
    assert "user 1001 has no keys in Redis" in copytrade.error("credentials", "remove", "1001", "--yes", status=4)
    assert stored(copytrade, "1002") == keys("1002")


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 130), ("", 130)])
def test_a_removal_is_asked_for_where_somebody_sits(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    """No answer is no."""
    copytrade("credentials", "set", "1001", stdin=LINES)
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)

    ran = copytrade("credentials", "remove", "1001", stdin=answer, status=status)

    assert "Remove the keys of user 1001?" in ran.stderr
    assert bool(copytrade.json_lines("credentials", "list")) is bool(status)


def test_a_new_key_is_an_entry_of_a_ring() -> None:
    """No two alike; nothing is asked of Redis."""
    away = Copytrade(f"redis://127.0.0.1:{free_port()}/0")
    made = away.json("credentials", "new-key", "--id", "2027")

    assert open_key_ring(Secret(made["entry"]), "X").first.key_id == made["keyId"] == "2027"
    entries = {away("credentials", "new-key").stdout.strip() for _ in range(3)}
    assert {open_key_ring(Secret(entry), "X").first.key_id == entry.partition(":")[0] for entry in entries} == {True}
    assert len(entries) == 3


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("rotate", "--check"), ("set", "1001")])
def test_without_a_ring_the_variable_is_named(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Exit status 2."""
    monkeypatch.delenv("COPYTRADE_CREDENTIALS_KEYS")

    assert "COPYTRADE_CREDENTIALS_KEYS" in copytrade.error("credentials", *words, stdin=LINES, status=2)


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("set", "1001"), ("remove", "1001", "--yes")])
def test_without_redis_every_command_ends_with_one_line_and_status_3(words: tuple[str, ...]) -> None:
    """No traceback, and no secret."""
    said = Copytrade(f"redis://127.0.0.1:{free_port()}/0").error("credentials", *words, stdin=LINES, status=3)

    assert "Redis did not answer" in said
    assert "hush" not in said


def test_without_the_worker_s_extra_the_command_says_what_is_missing(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed all the same, without a warning."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("key_ring", "sealing", "admin", "sources", "redis_store"):
        monkeypatch.delitem(sys.modules, f"worker.credentials.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)

    assert copytrade("--help").stderr == ""
    for words in ("list", "new-key", "rotate"):
        assert "install copytrade-settings[worker]" in copytrade.error("credentials", words, status=2)


def test_no_secret_is_in_redis_or_shown(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """After every command there is."""
    shown = [copytrade("credentials", "set", "1001", stdin=LINES).output]
    shown.append(copytrade("credentials", "set", "--from-stdin", stdin=many("1002", "1003")).output)
    new_ring()
    commands = ("list", "rotate", "list --json", "rotate --check", "remove 1002 --yes")
    shown += [copytrade("credentials", *words.split()).output for words in commands]
    told = on_redis(copytrade, dump) + "".join(shown)

    assert "1003" in told, "the dump must see what is there"
    for secret in ("hush", OLD.partition(":")[2], NEW.partition(":")[2]):
        assert secret not in told
