"""`copytrade credentials list|rotate|remove|new-key`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers.cli import shared_options
from tests.support.copytrade import Copytrade
from tests.support.redis_dump import dump
from tests.support.sealed_keys import LINES, NEW, OLD, keys, many, on_redis, stored
from worker.credentials.key_ring import open_key_ring
from worker.secret import Secret

pytestmark = pytest.mark.usefixtures("credentials_command")


def test_a_list_shows_everything_but_secrets(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """Rows are sorted by user, and each names the key of the ring that sealed the record."""
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
    assert [document["userId"] for document in documents] == ["1001", "1002"]
    assert set(documents[0]) == {"userId", "keyId", "setAtMs", "demo", "fingerprint", "problem"}
    assert "hush" not in ran.output + json.dumps(documents)


def test_a_list_shows_records_that_do_not_open_with_status_1(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row names the key that is missing from the ring."""
    copytrade("credentials", "set", "1001", stdin=LINES)
    monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", NEW)

    (row,) = copytrade("credentials", "list", status=1).stdout.splitlines()[1:]

    assert "sealed with key '2026a', which is not in the key ring" in row


def test_rotation_is_checked_done_and_checked_again(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """The exit status of the check says whether records are left."""
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


def test_rotation_names_records_that_it_cannot_open_with_status_1(
    copytrade: Copytrade, new_ring: Callable[[], None]
) -> None:
    """It lists 20 of them, and still seals the readable ones again."""
    copytrade("credentials", "set", "1001", stdin=LINES)

    async def garble(redis: ArqRedis) -> None:
        await redis.hset(KEYS.credentials, mapping={f"9{number:02}": b"garbage" for number in range(25)})  # type: ignore[misc]

    on_redis(copytrade, garble)
    new_ring()

    ran = copytrade("credentials", "rotate", status=1)

    assert ran.stdout == "1 sealed again with 2026b, 0 were already, 25 unreadable\n"
    assert "its version is unknown to this program" in ran.stderr
    assert "... and 5 more; --json lists them" in ran.stderr
    assert copytrade.json("credentials", "rotate", "--check", status=1)["left"] == 25


def test_a_user_is_removed(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key ring is needed; a second removal has status 4, and other users keep their keys."""
    copytrade("credentials", "set", "--from-stdin", stdin=many("1001", "1002"))
    monkeypatch.delenv("COPYTRADE_CREDENTIALS_KEYS")

    assert copytrade.json("credentials", "remove", "1001", "--yes") == {"userId": "1001", "removed": True}
    assert "user 1001 has no keys in Redis" in copytrade.error("credentials", "remove", "1001", "--yes", status=4)
    assert stored(copytrade, "1002") == keys("1002")


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 130), ("", 130)])
def test_a_removal_asks_for_confirmation_on_a_terminal(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    """An empty answer is a refusal, and keeps the record."""
    copytrade("credentials", "set", "1001", stdin=LINES)
    monkeypatch.setattr(shared_options, "is_interactive", lambda: True)

    ran = copytrade("credentials", "remove", "1001", stdin=answer, status=status)

    assert "Remove the keys of user 1001?" in ran.stderr
    assert bool(copytrade.json_lines("credentials", "list")) is bool(status)


def test_a_new_key_is_an_entry_of_a_ring() -> None:
    """Every entry is different, and Redis is not needed."""
    away = Copytrade(f"redis://127.0.0.1:{free_port()}/0")
    made = away.json("credentials", "new-key", "--id", "2027")

    assert open_key_ring(Secret(made["entry"]), "X").first.key_id == made["keyId"] == "2027"
    entries = {away("credentials", "new-key").stdout.strip() for _ in range(3)}
    assert {open_key_ring(Secret(entry), "X").first.key_id == entry.partition(":")[0] for entry in entries} == {True}
    assert len(entries) == 3


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("rotate", "--check"), ("set", "1001")])
def test_a_missing_key_ring_is_one_line_with_the_variable_and_status_2(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Each command that seals or opens records needs the ring."""
    monkeypatch.delenv("COPYTRADE_CREDENTIALS_KEYS")

    assert "COPYTRADE_CREDENTIALS_KEYS" in copytrade.error("credentials", *words, stdin=LINES, status=2)


def test_no_secret_is_in_redis_or_shown(copytrade: Copytrade, new_ring: Callable[[], None]) -> None:
    """The check covers the output of set, list, rotate and remove, and a dump of Redis."""
    shown = [copytrade("credentials", "set", "1001", stdin=LINES).output]
    shown.append(copytrade("credentials", "set", "--from-stdin", stdin=many("1002", "1003")).output)
    new_ring()
    commands = ("list", "rotate", "list --json", "rotate --check", "remove 1002 --yes")
    shown += [copytrade("credentials", *words.split()).output for words in commands]
    told = on_redis(copytrade, dump) + "".join(shown)

    assert "1003" in told, "the dump must see what is there"
    for secret in ("hush", OLD.partition(":")[2], NEW.partition(":")[2]):
        assert secret not in told
