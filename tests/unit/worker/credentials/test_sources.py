"""The setting that names the source of credentials, and what it opens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis.asyncio import Redis

from worker.credentials.cache import CachedCredentials
from worker.credentials.file_store import FileCredentials
from worker.credentials.key_ring import new_entry
from worker.credentials.model import Credentials, CredentialStore
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sources import entered, open_store, open_uncached_store
from worker.errors import CredentialsError
from worker.secret import Secret
from worker.settings import WorkerSettings

NOBODY = Redis(host="127.0.0.1", port=1)
"""Opening a source asks Redis for nothing."""


class Vault:
    """A custom source with a connection."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.log: list[str] = []

    async def __aenter__(self) -> None:
        self.log.append("connected")

    async def __aexit__(self, *_: object) -> None:
        self.log.append("closed")

    async def get(self, user_id: str) -> Credentials:
        """Return made-up credentials."""
        self.log.append(user_id)
        return Credentials(user_id=user_id, api_key=Secret("k"), secret_key=Secret("s"), passphrase=Secret("p"))


def failing(_: WorkerSettings) -> CredentialStore:
    raise OSError("no route to the vault")


def refusing(_: WorkerSettings) -> CredentialStore:
    raise CredentialsError("VAULT_ADDR is not set")


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A custom module, `own_vault`."""
    module = ModuleType("own_vault")
    module.__dict__.update(vault=Vault, failing=failing, refusing=refusing, number=7, nothing=lambda _: None)
    monkeypatch.setitem(sys.modules, "own_vault", module)
    return module


def store_of(spec: str, **settings: Any) -> CredentialStore:
    return open_store(WorkerSettings(credentials=spec, **settings), NOBODY)


async def test_a_file_source_has_no_cache(tmp_path: Path) -> None:
    """It is in memory, and a changed file is seen within half a second."""
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text('[users.1001]\napi_key = "k"\nsecret_key = "s"\npassphrase = "p"\n')

    store = store_of(f"file:{path}")

    assert isinstance(store, FileCredentials)
    assert (await store.get("1001")).user_id == "1001"


def test_sealed_records_are_opened_behind_a_cache() -> None:
    """Both the cached and the uncached store use the ring of the settings."""
    ring = Secret(new_entry("2026a"))

    assert isinstance(store_of("redis:", credentials_keys=ring), CachedCredentials)
    assert isinstance(
        open_uncached_store(WorkerSettings(credentials="redis:", credentials_keys=ring), NOBODY), RedisCredentials
    )


def test_sealed_records_need_a_key_ring() -> None:
    """The error names the variable and gives an example."""
    with pytest.raises(CredentialsError, match=r"COPYTRADE_CREDENTIALS_KEYS, such as file:PATH"):
        store_of("redis:")


@pytest.mark.usefixtures("own_module")
async def test_a_custom_source_is_made_from_the_settings_and_opened_and_closed_with_the_worker() -> None:
    """The cache in front of it asks once for two requests."""
    settings = WorkerSettings(credentials="python:own_vault:vault", egress="north")
    source = open_uncached_store(settings, NOBODY)
    assert isinstance(source, Vault)
    store = CachedCredentials(source)

    async with entered(store):
        assert (await store.get("1001")).user_id == (await store.get("1001")).user_id == "1001"

    assert source.settings is settings
    assert source.log == ["connected", "1001", "closed"]
    assert len(store) == 0


async def test_a_custom_source_need_not_be_a_context_manager(tmp_path: Path) -> None:
    """A source with `get` alone has nothing to open or close."""
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text('[users.1001]\napi_key = "k"\nsecret_key = "s"\npassphrase = "p"\n')

    async with entered(FileCredentials(path)):
        pass


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("python:own_vault", "must be written as python:MODULE:FACTORY"),
        ("python::vault", "must be written as python:MODULE:FACTORY"),
        ("python:no_such_vault:vault", "no_such_vault:vault: cannot be imported: ModuleNotFoundError: No module named"),
        ("python:own_vault:none", "own_vault:none: cannot be imported: AttributeError: "),
        ("python:..:none", "cannot be imported"),
        ("python:own_vault:number", "own_vault:number: the factory failed with TypeError"),
        ("python:own_vault:failing", "own_vault:failing: the factory failed with OSError: no route"),
        ("python:own_vault:refusing", "VAULT_ADDR is not set"),
        ("python:own_vault:nothing", "must return an object with `async def get"),
    ],
)
def test_a_custom_source_that_cannot_be_made_is_rejected_with_the_reason(spec: str, problem: str) -> None:
    """A bad name, a failed import, a failed factory and an object without `get` are told apart."""
    with pytest.raises(CredentialsError, match=problem):
        store_of(spec)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param("vault:hush", "unknown source of credentials 'vault'", id="unknown scheme"),
        pytest.param("hush", "must be written as file:PATH", id="no scheme"),
        pytest.param("file:", "must be written as file:PATH", id="no path"),
        pytest.param("redis://hush", "must be written as file:PATH", id="another Redis"),
        pytest.param("python:", "must be written as file:PATH", id="no module"),
    ],
)
@pytest.mark.parametrize("how", [open_uncached_store, open_store])
def test_a_setting_that_names_no_source_is_rejected_without_repeating_it(
    how: Callable[..., object], spec: str, problem: str
) -> None:
    """It may be a key."""
    with pytest.raises(CredentialsError, match=problem) as caught:
        how(WorkerSettings(credentials=spec), NOBODY)

    assert "hush" not in str(caught.value)
