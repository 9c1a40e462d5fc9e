"""Whether a source of credentials says that it cannot be read, as the metrics show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.secret_files import replace_file
from worker.credentials.cache import CachedCredentials
from worker.credentials.file_store import CHECK_INTERVAL_S, FileCredentials
from worker.credentials.model import Credentials, Watchable
from worker.errors import CredentialsUnavailable, UnknownUser, UnusableCredentials
from worker.secret import Secret

ONE_USER = '[users.1001]\napi_key = "a"\nsecret_key = "b"\npassphrase = "c"\n'


def remove(path: Path) -> None:
    path.unlink()


def expose(path: Path) -> None:
    path.chmod(0o644)


def garble(path: Path) -> None:
    replace_file(path, "[users.1001]\napi_key = hush")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one user, in a folder of its own."""
    (tmp_path / "keys").mkdir(mode=0o700)
    return replace_file(tmp_path / "keys" / "keys.toml", ONE_USER)


@pytest.fixture
def store(path: Path, clock: ManualClock) -> FileCredentials:
    """A store over that file."""
    return FileCredentials(path, clock)


async def ok_after_a_check(store: FileCredentials, clock: ManualClock) -> bool:
    """Return what a store says after a check that was begun by asking it."""
    await clock.sleep(CHECK_INTERVAL_S)
    store.source_ok()
    check = store._check
    assert check is not None
    await check
    return store.source_ok()


@pytest.mark.parametrize("spoil", [remove, expose, garble])
async def test_a_file_that_cannot_be_used_is_seen_without_a_look_up_until_it_can(
    store: FileCredentials, path: Path, clock: ManualClock, spoil: Callable[[Path], None]
) -> None:
    """While nothing is due, nobody asks for keys."""
    assert store.source_ok()
    spoil(path)
    assert not await ok_after_a_check(store, clock)

    replace_file(path, ONE_USER)

    assert await ok_after_a_check(store, clock)


async def test_a_file_whose_folder_was_away_for_a_while_is_read_again(
    store: FileCredentials, path: Path, clock: ManualClock
) -> None:
    """The file itself has not changed meanwhile."""
    away = path.parent.rename(path.parent.with_name("away"))
    assert not await ok_after_a_check(store, clock)

    away.rename(path.parent)

    assert await ok_after_a_check(store, clock)


async def test_a_file_with_one_bad_table_is_ok(store: FileCredentials, path: Path, clock: ManualClock) -> None:
    """It concerns its user only, and a worker starts with it."""
    replace_file(path, ONE_USER + "[users.1002]\napi_key = 1\n")

    assert await ok_after_a_check(store, clock)


class Source:
    """A source that fails as the test says."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def get(self, user_id: str) -> Credentials:
        """Return a user's credentials, or fail."""
        if self.error is not None:
            raise self.error
        return Credentials(user_id=user_id, api_key=Secret("a"), secret_key=Secret("b"), passphrase=Secret("c"))


@pytest.mark.parametrize(
    ("error", "is_ok"),
    [
        (CredentialsUnavailable("down"), False),
        (OSError("down"), False),
        (UnusableCredentials("one record"), True),
        (UnknownUser("1001", source="here", remedy="add them"), True),
    ],
)
async def test_another_source_is_ok_unless_it_did_not_answer_the_last_reading(
    clock: ManualClock, error: Exception, is_ok: bool
) -> None:
    """What concerns one user is an answer; a user that is cached asks nobody."""
    source = Source()
    cache = CachedCredentials(source, clock)
    await cache.get("1002")
    source.error = error
    with pytest.raises((CredentialsUnavailable, UnknownUser)):
        await cache.get("1001")
    await cache.get("1002")
    assert cache.source_ok() == is_ok

    source.error = None
    await cache.get("1001")

    assert cache.source_ok()


def test_both_are_what_the_metrics_watch(store: FileCredentials) -> None:
    """A source of your own is behind the cache."""
    assert isinstance(store, Watchable)
    assert isinstance(CachedCredentials(Source()), Watchable)
