"""The file that credentials come from."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.secret_files import replace_file
from worker.credentials import file_store
from worker.credentials.credentials_file import FileContent, parse_file
from worker.credentials.file_store import CHECK_INTERVAL_S, FileCredentials
from worker.credentials.model import Credentials
from worker.errors import CredentialsError, UnknownUser
from worker.secret import Secret

ONE_USER = """
owner = "ops"

[users.1001]
api_key = "key-1001"
secret_key = "hush-secret"
passphrase = "hush-pass"
note = "ignored"
"""


def remove(path: Path) -> None:
    path.unlink()


def expose(path: Path) -> None:
    path.chmod(0o644)


def hide(path: Path) -> None:
    """Let only the owner read the file; content and modification time stay."""
    path.chmod(0o600)


def garble(path: Path) -> None:
    replace_file(path, "[users.1001]\napi_key = hush")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one user."""
    return replace_file(tmp_path / "keys.toml", ONE_USER)


@pytest.fixture
def store(path: Path, clock: ManualClock) -> FileCredentials:
    """A store over that file."""
    return FileCredentials(path, clock)


async def test_a_user_of_the_file_has_its_credentials(store: FileCredentials) -> None:
    """Unknown keys in the file are ignored; demo is false by default."""
    found = await store.get("1001")

    assert found == Credentials(
        user_id="1001", api_key=Secret("key-1001"), secret_key=Secret("hush-secret"), passphrase=Secret("hush-pass")
    )


async def test_a_user_can_be_one_of_demo_trading(path: Path, clock: ManualClock) -> None:
    """The flag `demo` of the user's table is kept."""
    replace_file(path, ONE_USER + "demo = true\n")

    assert (await FileCredentials(path, clock).get("1001")).demo


async def test_a_user_that_is_not_in_the_file_is_unknown(store: FileCredentials, path: Path) -> None:
    """The error names the user, the setting and what to add. Results have it, so it has no path of the worker."""
    with pytest.raises(UnknownUser, match=r"1002.*COPYTRADE_CREDENTIALS.*\[users\.<id>\]") as caught:
        await store.get("1002")

    assert path.name not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_read_is_rejected_with_the_remedy(path: Path, mode: int) -> None:
    """Access by the group alone, or by others alone, is enough; the remedy is a command."""
    path.chmod(mode)

    with pytest.raises(CredentialsError, match=f"chmod 600 {path}"):
        FileCredentials(path)


def test_an_absent_file_is_rejected_by_its_path(tmp_path: Path) -> None:
    """The message includes the operating system's reason."""
    with pytest.raises(CredentialsError, match=r"none\.toml does not exist: create it, or correct this path"):
        FileCredentials(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", r"no \[users\.<id>\] table", id="empty file"),
        pytest.param("[users]\n", r"no \[users\.<id>\] table", id="no user"),
        pytest.param("users = 'hush'\n", "`users` must consist of tables", id="users is no table"),
        pytest.param("[users]\n1001 = 'hush'\n", "user '1001': must be a table", id="user is no table"),
        pytest.param(
            "[users.1001]\nsecret_key = hush\n", r"line 2, column 14: user .1001.: not valid TOML", id="not TOML"
        ),
        pytest.param(ONE_USER.replace("passphrase", "pass_phrase"), "'1001': passphrase is missing", id="missing"),
        pytest.param(ONE_USER.replace("hush-pass", ""), "'1001': passphrase is missing or empty", id="empty field"),
        pytest.param(ONE_USER.replace('"hush-pass"', "7"), "'1001': passphrase is missing or empty", id="number"),
        pytest.param(ONE_USER.replace("hush-pass", r"hush\r\nX: y"), "'1001': passphrase must be", id="new line"),
        pytest.param(ONE_USER.replace("hush-secret", r"hush\u0000"), "'1001': secret_key must be", id="null"),
        pytest.param(ONE_USER.replace("key-1001", "hush-é"), "'1001': api_key must be", id="not ASCII"),
        pytest.param(ONE_USER.replace("hush-pass", "hush "), "'1001': passphrase must be", id="space at the end"),
        pytest.param(ONE_USER + 'demo = "hush"\n', "'1001': demo must be true or false", id="demo is a string"),
    ],
)
def test_a_malformed_file_is_rejected_without_showing_a_value(path: Path, text: str, problem: str) -> None:
    """One line with file, user and field."""
    replace_file(path, text)

    with pytest.raises(CredentialsError, match=problem) as caught:
        FileCredentials(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "hush" not in "".join(traceback.format_exception_only(caught.value))


def test_a_file_that_is_not_text_is_rejected_without_keeping_its_content(path: Path) -> None:
    """A decoder's error holds its input, so ours must not lead to it."""
    path.write_bytes(b"hush \xff")

    with pytest.raises(CredentialsError, match="is not UTF-8") as caught:
        FileCredentials(path)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_changed_file_is_read_again(store: FileCredentials, path: Path, clock: ManualClock) -> None:
    """The first request after the check interval gets the new key."""
    replace_file(path, ONE_USER.replace("key-1001", "key-new"))

    await clock.sleep(CHECK_INTERVAL_S)

    assert (await store.get("1001")).api_key == Secret("key-new")


async def test_the_file_is_not_read_for_every_request(store: FileCredentials, path: Path, clock: ManualClock) -> None:
    """Within the check interval even its removal goes unnoticed."""
    remove(path)

    await clock.sleep(CHECK_INTERVAL_S / 2)

    assert (await store.get("1001")).api_key == Secret("key-1001")


@pytest.mark.parametrize("spoil", [remove, expose, garble])
async def test_a_malformed_change_keeps_the_old_credentials(
    store: FileCredentials,
    path: Path,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    """One error line for each change of the file, without a value."""
    spoil(path)

    for _ in range(3):
        await clock.sleep(CHECK_INTERVAL_S)
        assert (await store.get("1001")).api_key == Secret("key-1001")

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "stay in use" in caplog.text
    assert "hush" not in caplog.text


async def test_corrected_permissions_of_a_file_are_noticed(
    store: FileCredentials, path: Path, clock: ManualClock
) -> None:
    """`chmod` changes neither the content nor the modification time."""
    replace_file(path, ONE_USER.replace("key-1001", "key-new"), mode=0o644)
    await clock.sleep(CHECK_INTERVAL_S)
    assert (await store.get("1001")).api_key == Secret("key-1001")

    hide(path)
    await clock.sleep(CHECK_INTERVAL_S)

    assert (await store.get("1001")).api_key == Secret("key-new")


async def test_the_earlier_keys_are_used_while_a_changed_file_is_read(
    store: FileCredentials, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing a large file takes a second, in which all users would wait. It is parsed in a thread of its own."""
    may_parse = threading.Event()

    def wait_and_parse(*args: Any) -> FileContent:
        may_parse.wait(timeout=20)
        return parse_file(*args)

    monkeypatch.setattr(file_store, "parse_file", wait_and_parse)
    monkeypatch.setattr(file_store, "CHECK_WAIT_S", 0)
    replace_file(path, ONE_USER.replace("key-1001", "key-new"))
    await clock.sleep(CHECK_INTERVAL_S)

    for _ in range(3):
        assert (await store.get("1001")).api_key == Secret("key-1001")
    may_parse.set()
    store.invalidate("1001")

    assert (await store.get("1001")).api_key == Secret("key-new")
