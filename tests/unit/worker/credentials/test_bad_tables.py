"""A credentials file with a bad table: its user waits, the others have their keys."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.secret_files import replace_file
from worker.credentials.file_store import FileCredentials
from worker.errors import CredentialsUnavailable, UnknownUser
from worker.secret import Secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one user."""
    return replace_file(tmp_path / "keys.toml", table("1001"))


def table(user: str) -> str:
    return f"""
[users.{user}]
api_key = "key-{user}"
secret_key = "hush-secret"
passphrase = "hush-pass"
"""


BAD = table("1002").replace("hush-pass", "")


async def test_a_bad_table_concerns_its_user_only(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The others load; its user waits, and one line of the log names it when the worker starts."""
    replace_file(path, table("1001") + BAD + table("1003"))

    async with FileCredentials(path, clock) as store:
        for user in ("1001", "1003"):
            assert (await store.get(user)).api_key == Secret(f"key-{user}")
        for _ in range(3):
            with pytest.raises(CredentialsUnavailable, match="line 7: user '1002': passphrase is missing or empty"):
                await store.get("1002")
        with pytest.raises(UnknownUser):
            await store.get("1004")

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "changes of this user wait" in caplog.text
    assert "hush" not in caplog.text


async def test_a_fault_is_logged_once_wherever_its_table_stands(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And again when the table is changed and still bad."""
    replace_file(path, table("1001") + BAD)
    async with FileCredentials(path, clock) as store:
        for text in (table("1003") + BAD, "\n" + table("1001") + BAD + table("1004"), BAD.replace("key-", "k-")):
            replace_file(path, text + table("1005"))
            store.invalidate("1001")
            with pytest.raises((CredentialsUnavailable, UnknownUser)):
                await store.get("1002")

    assert len(caplog.records) == 2


async def test_a_mended_table_is_used_at_once(path: Path, clock: ManualClock) -> None:
    """The change of a user who waits looks at the file whenever it is tried; so does that of an unknown one."""
    replace_file(path, table("1001") + BAD)
    store = FileCredentials(path, clock)
    with pytest.raises(CredentialsUnavailable):
        await store.get("1002")
    with pytest.raises(UnknownUser):
        await store.get("1003")

    replace_file(path, table("1001") + table("1002") + table("1003"))

    assert (await store.get("1002")).api_key == Secret("key-1002")
    assert (await store.get("1003")).api_key == Secret("key-1003")


async def test_users_that_a_half_written_file_lacks_are_not_unknown(path: Path, clock: ManualClock) -> None:
    """Their tables may follow: they wait until the file has no fault. Then who is not in it has been removed."""
    whole = table("1001") + table("1002") + table("1003")
    store = FileCredentials(replace_file(path, whole), clock)

    replace_file(path, whole[: whole.index("passphrase", len(table("1001")))])
    for user in ("1002", "1003"):
        store.invalidate(user)
        with pytest.raises(CredentialsUnavailable):
            await store.get(user)

    replace_file(path, table("1001"))
    with pytest.raises(UnknownUser):
        await store.get("1003")


@pytest.mark.parametrize(
    "damaged",
    [
        table("1009").replace("[users", "users"),
        table("1009").replace("[users.1009]", "users.1009 # new"),
        table("1009").replace("[users.1009]", "{users.1009}"),
        table("1009").replace("[users.1009]", 'users."1009"]'),
        "\ufeff" + table("1009").lstrip(),
        table("1009").replace("users", "user"),
    ],
    ids=["no bracket", "no brackets", "braces", "quoted", "byte order mark", "misspelt"],
)
async def test_a_damaged_header_harms_no_table_before_it(path: Path, clock: ManualClock, damaged: str) -> None:
    """Its own user waits; so does a user who is not found, since what is not TOML may have its table."""
    store = FileCredentials(replace_file(path, table("1001") + damaged + table("1002")), clock)

    for user in ("1001", "1002"):
        assert (await store.get(user)).api_key == Secret(f"key-{user}")
    for user in ("1009", "1010"):
        with pytest.raises(CredentialsUnavailable):
            await store.get(user)


async def test_a_user_whose_header_is_missing_waits(path: Path, clock: ManualClock) -> None:
    """The keys are then those of the user before, too, who waits as well."""
    text = table("1001") + table("1009").replace("[users.1009]", "") + table("1002")
    store = FileCredentials(replace_file(path, text), clock)

    assert (await store.get("1002")).api_key == Secret("key-1002")
    for user in ("1001", "1009"):
        with pytest.raises(CredentialsUnavailable):
            await store.get(user)


@pytest.mark.parametrize(
    "field",
    [
        "demo = yes",
        "demo true",
        "demo = [true",
        "[demo = true",
        "[demo true",
        "[demo]\ndemo = true = true",
        "demo = true]",
        "\ufeffdemo = true",
        "oops\ndemo = true",
        "<<<<<<< HEAD\ndemo = true\n=======\ndemo = false\n>>>>>>> other",
    ],
)
async def test_a_damaged_field_stops_its_user(path: Path, clock: ManualClock, field: str) -> None:
    """Whatever it is, and whatever stands before it: without `demo` the user would trade for real."""
    store = FileCredentials(replace_file(path, f"{table('1001')}{field}\n{table('1002')}"), clock)

    assert (await store.get("1002")).api_key == Secret("key-1002")
    with pytest.raises(CredentialsUnavailable):
        await store.get("1001")


async def test_bytes_that_are_not_utf_8_stop_the_user_whose_keys_have_them(path: Path, clock: ManualClock) -> None:
    """In a comment they stop nobody."""
    text = f"# \udce9\n{table('1001')}{table('1009').replace('key-', chr(0xDCE9))}{table('1002')}"
    path.write_bytes(text.encode(errors="surrogateescape"))  # noqa: ASYNC240 - a test
    store = FileCredentials(path, clock)

    for user in ("1001", "1002"):
        assert (await store.get(user)).api_key == Secret(f"key-{user}")
    with pytest.raises(CredentialsUnavailable):
        await store.get("1009")


async def test_a_user_that_a_file_may_have_got_waits_while_the_file_cannot_be_used(
    path: Path, clock: ManualClock
) -> None:
    """The file was opened to others together with a new table."""
    store = FileCredentials(path, clock)
    replace_file(path, table("1001") + table("1002"), mode=0o644)

    with pytest.raises(CredentialsUnavailable, match="chmod 600"):
        await store.get("1002")
    assert (await store.get("1001")).api_key == Secret("key-1001")
