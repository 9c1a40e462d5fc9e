"""Where users' credentials come from: the setting that names the source, and what it opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path

from redis.asyncio import Redis

from producers.settings import variable
from worker.clock import Clock
from worker.credentials.cache import CachedCredentials
from worker.credentials.file_store import FileCredentials
from worker.credentials.key_ring import KeyRing, open_key_ring
from worker.credentials.model import CredentialStore
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.errors import CredentialsError
from worker.settings import WorkerSettings

FORMS = "file:PATH, redis: or python:MODULE:FACTORY"


def open_store(settings: WorkerSettings, redis: Redis, clock: Clock | None = None) -> CredentialStore:
    """The source of credentials that the settings name, behind a cache if it has to be asked over a network.

    Args:
        settings: `credentials` is `file:PATH`, `redis:` or `python:MODULE:FACTORY`.
        redis: where sealed records are.
        clock: handed to the source.

    Raises:
        CredentialsError: there is no such kind of source, or it cannot be used.
    """
    source = open_source(settings, redis, clock)
    return source if isinstance(source, FileCredentials) else CachedCredentials(source, clock)


def open_source(settings: WorkerSettings, redis: Redis, clock: Clock | None = None) -> CredentialStore:
    """As `open_store`, without the cache."""
    scheme, colon, rest = settings.credentials.partition(":")
    match scheme:
        case "file" if rest:
            return FileCredentials(Path(rest).expanduser(), clock)
        case "redis" if colon and not rest:
            return RedisCredentials(SealedRecords(redis), load_key_ring(settings))
        case "python" if rest:
            return _made(rest, settings)
        case "file" | "redis" | "python":
            # Not shown: what somebody put here by mistake may be a key.
            raise CredentialsError(f"the source of credentials must be written as {FORMS}")
    if not colon:
        raise CredentialsError(f"the source of credentials must be written as {FORMS}")
    raise CredentialsError(f"unknown source of credentials {scheme[:80]!r}; it must be written as {FORMS}")


def load_key_ring(settings: WorkerSettings) -> KeyRing:
    """The key ring of the settings.

    Raises:
        CredentialsError: there is none, or it cannot be used.
    """
    name = variable("credentials_keys")
    if settings.credentials_keys is None:
        raise CredentialsError(f"credentials in Redis are sealed; name their key ring in {name}, such as file:PATH")
    return open_key_ring(settings.credentials_keys, name)


@asynccontextmanager
async def entered(store: CredentialStore) -> AsyncIterator[None]:
    """A store at work: one that is an async context manager is entered, and left at the end."""
    if isinstance(store, AbstractAsyncContextManager):
        async with store:
            yield
    else:
        yield


def _made(path: str, settings: WorkerSettings) -> CredentialStore:
    """What a function of the operator's own makes of the settings."""
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
