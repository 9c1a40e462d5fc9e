"""Creation of the source of credentials that COPYTRADE_CREDENTIALS names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path

from redis.asyncio import Redis

from producers.settings import variable_name
from worker.clock import Clock
from worker.credentials.cache import CachedCredentials
from worker.credentials.file_store import FileCredentials
from worker.credentials.key_ring import KeyRing, open_key_ring
from worker.credentials.model import CredentialStore
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.errors import CredentialsError
from worker.settings import WorkerSettings

FORMATS = "file:PATH, redis: or python:MODULE:FACTORY"


def open_store(settings: WorkerSettings, redis: Redis, clock: Clock | None = None) -> CredentialStore:
    """Return the source that the settings name, with a cache unless it is a file.

    Args:
        settings: `credentials` is `file:PATH`, `redis:` or `python:MODULE:FACTORY`.
        redis: the Redis with the sealed records.
        clock: passed to the source and the cache.

    Raises:
        CredentialsError: the setting has another form, or the source cannot be used.
    """
    source = open_uncached_store(settings, redis, clock)
    return source if isinstance(source, FileCredentials) else CachedCredentials(source, clock)


def open_uncached_store(settings: WorkerSettings, redis: Redis, clock: Clock | None = None) -> CredentialStore:
    """Return the source that the settings name, without a cache; see `open_store`."""
    scheme, colon, rest = settings.credentials.partition(":")
    match scheme:
        case "file" if rest:
            return FileCredentials(Path(rest).expanduser(), clock)
        case "redis" if colon and not rest:
            return RedisCredentials(SealedRecords(redis), load_key_ring(settings))
        case "python" if rest:
            return _from_factory(rest, settings)
    if colon and scheme not in {"file", "redis", "python"}:
        raise CredentialsError(f"unknown source of credentials {scheme[:80]!r}; it must be written as {FORMATS}")
    # The value is not shown, because it may be a key that was put into the wrong variable.
    raise CredentialsError(f"the source of credentials must be written as {FORMATS}")


def load_key_ring(settings: WorkerSettings) -> KeyRing:
    """Return the key ring that the settings name.

    Raises:
        CredentialsError: the settings name none, or it is invalid.
    """
    name = variable_name("credentials_keys")
    if settings.credentials_keys is None:
        raise CredentialsError(f"credentials in Redis are sealed; name their key ring in {name}, such as file:PATH")
    return open_key_ring(settings.credentials_keys, name)


@asynccontextmanager
async def entered(store: CredentialStore) -> AsyncIterator[None]:
    """Enter a store that is an async context manager, and leave it at the end; do nothing for any other store."""
    if isinstance(store, AbstractAsyncContextManager):
        async with store:
            yield
    else:
        yield


def _from_factory(path: str, settings: WorkerSettings) -> CredentialStore:
    """Return the source that the operator's own factory creates."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise CredentialsError("a source of your own must be written as python:MODULE:FACTORY")
    try:
        factory = getattr(import_module(module_name), name)
    except Exception as exc:
        raise CredentialsError(f"{path}: cannot be imported: {type(exc).__name__}: {exc}") from exc
    try:
        store: CredentialStore = factory(settings)
    except CredentialsError:
        raise
    except Exception as exc:
        raise CredentialsError(f"{path}: the factory failed with {type(exc).__name__}: {exc}") from exc
    if not callable(getattr(store, "get", None)):
        raise CredentialsError(f"{path}: the factory must return an object with `async def get(self, user_id)`")
    return store
