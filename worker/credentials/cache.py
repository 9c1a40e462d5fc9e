"""Cache in front of a slow source of credentials. It holds secrets in clear, for at most a minute."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from worker.clock import Clock, SystemClock
from worker.credentials.model import Credentials, CredentialStore
from worker.errors import CredentialsUnavailable, UnknownUser, UnusableCredentials

TTL_S = 60.0
"""How long credentials are cached. Changed keys are used after at most this time."""

MAX_USERS = 10_000
"""Maximum number of cached users. They take about 10 MB."""

READ_TIMEOUT_S = 5.0
"""Limit for one read of the source."""


class CachedCredentials:
    """A source with a cache in front of it.

    Concurrent calls for one user share one read. Errors are not cached. If the source is an async context manager, it
    is entered and left together with this one.
    """

    def __init__(
        self,
        source: CredentialStore,
        clock: Clock | None = None,
        *,
        ttl_s: float = TTL_S,
        max_users: int = MAX_USERS,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Wrap a source.

        Args:
            source: where credentials come from.
            clock: measures the age of entries.
            ttl_s: how long an entry is used.
            max_users: maximum number of entries; beyond it the oldest ones are removed.
            read_timeout_s: limit for one read of the source.
        """
        self._source = source
        self._clock = clock or SystemClock()
        self._ttl_s, self._max_users, self._read_timeout_s = ttl_s, max_users, read_timeout_s
        self._entries: dict[str, tuple[float, Credentials]] = {}  # user ID -> (expiry, credentials), oldest first
        self._reads: dict[str, asyncio.Task[Credentials]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._resources = AsyncExitStack()
        self._source_ok = True

    async def __aenter__(self) -> Self:
        if isinstance(self._source, AbstractAsyncContextManager):
            await self._resources.enter_async_context(self._source)
        return self

    async def __aexit__(self, *_: object) -> None:
        for read in self._reads.values():
            read.cancel()
        self._reads.clear()
        self._entries.clear()
        if self._timer is not None:
            self._timer.cancel()
        await self._resources.aclose()

    def __len__(self) -> int:
        """Return the number of cached users."""
        return len(self._entries)

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user, at most `ttl_s` old.

        Raises:
            UnknownUser: the source has none for this user.
            CredentialsUnavailable: the source cannot answer now, or takes too long.
        """
        self._remove_expired()
        entry = self._entries.get(user_id)
        if entry is not None:
            return entry[1]
        read = self._reads.get(user_id)
        if read is None:
            read = self._reads[user_id] = asyncio.create_task(self._read(user_id))
            read.add_done_callback(lambda done: self._on_read_done(user_id, done))
        # Shielded, because a caller that is cancelled must not cancel the read for the others.
        return await asyncio.shield(read)

    def invalidate(self, user_id: str) -> None:
        """Make the next `get` read the source. A read that is running does not count: it may return the old keys."""
        self._entries.pop(user_id, None)
        self._reads.pop(user_id, None)

    def source_ok(self) -> bool:
        """Return whether the source answered when it was last read; True before that."""
        return self._source_ok

    async def _read(self, user_id: str) -> Credentials:
        try:
            credentials = await self._fetch(user_id)
        except (UnknownUser, UnusableCredentials):
            self._source_ok = True
            raise
        except CredentialsUnavailable:
            self._source_ok = False
            raise
        self._source_ok = True
        if self._reads.get(user_id) is asyncio.current_task():  # false if the user was invalidated during the read
            self._store(credentials)
        return credentials

    async def _fetch(self, user_id: str) -> Credentials:
        try:
            async with asyncio.timeout(self._read_timeout_s):
                found: object = await self._source.get(user_id)
        except (UnknownUser, CredentialsUnavailable):
            raise
        except TimeoutError:
            problem = "did not answer in time"
        except Exception as exc:  # noqa: BLE001 - any other error does not mean that the user has no credentials
            problem = f"failed ({type(exc).__name__})"
        else:
            if isinstance(found, Credentials) and found.user_id == user_id:
                return found
            raise UnusableCredentials(
                "the source of credentials returned something other than this user's credentials,"
                f" reading user {user_id[:80]!r}"
            )
        # Raised outside `except`, so without cause and message: an error of another library may contain a token.
        raise CredentialsUnavailable(f"the source of credentials {problem}, reading user {user_id[:80]!r}")

    def _store(self, credentials: Credentials) -> None:
        self._entries.pop(credentials.user_id, None)
        self._entries[credentials.user_id] = (self._clock.monotonic() + self._ttl_s, credentials)
        if len(self._entries) > self._max_users:
            del self._entries[next(iter(self._entries))]
        if self._timer is None:
            self._start_timer(self._ttl_s)

    def _on_read_done(self, user_id: str, read: asyncio.Task[Credentials]) -> None:
        if self._reads.get(user_id) is read:
            del self._reads[user_id]
        if not read.cancelled():
            read.exception()  # mark it as retrieved: all callers may have been cancelled

    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        """Remove expired entries even if `get` is no longer called, so that no secret stays in memory."""
        self._timer = None
        self._remove_expired()
        if self._entries:
            self._start_timer(max(0.0, self._first_expiry_s() - self._clock.monotonic()))

    def _remove_expired(self) -> None:
        now_s = self._clock.monotonic()
        while self._entries and self._first_expiry_s() <= now_s:
            del self._entries[next(iter(self._entries))]

    def _first_expiry_s(self) -> float:
        return next(iter(self._entries.values()))[0]
