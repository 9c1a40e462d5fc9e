"""Keeps what a slow source of credentials said: in clear for a minute at the most, and of few users."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from worker.clock import Clock, SystemClock
from worker.credentials.model import Credentials, CredentialStore
from worker.errors import CredentialsUnavailable, UnknownUser

LIFE_S = 60.0
"""How long secrets are kept in clear, and so how long it may take until a change of them is seen."""

MOST_USERS = 10_000
"""Users whose credentials are kept: about 10 MB."""

READ_TIMEOUT_S = 5.0
"""How long the source may take, so that those who wait for one read do not wait for ever."""


class CachedCredentials:
    """A source behind a cache. All who ask for one user at once share one read; a failure is not kept.

    If the source is an async context manager, so that it can open and close a connection, it is entered and left with
    this one.
    """

    def __init__(
        self,
        source: CredentialStore,
        clock: Clock | None = None,
        *,
        life_s: float = LIFE_S,
        most_users: int = MOST_USERS,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Wraps a source.

        Args:
            source: where credentials come from.
            clock: measures their age.
            life_s: how long they are kept.
            most_users: how many users' are kept; beyond that the oldest go.
            read_timeout_s: how long the source may take.
        """
        self._source = source
        self._clock = clock or SystemClock()
        self._life_s, self._most_users, self._read_timeout_s = life_s, most_users, read_timeout_s
        self._kept: dict[str, tuple[float, Credentials]] = {}  # in the order in which they end: until when, what
        self._reads: dict[str, asyncio.Task[Credentials]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if isinstance(self._source, AbstractAsyncContextManager):
            await self._resources.enter_async_context(self._source)
        return self

    async def __aexit__(self, *_: object) -> None:
        for read in self._reads.values():
            read.cancel()
        self._reads.clear()
        self._kept.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        await self._resources.aclose()

    def __len__(self) -> int:
        """Of how many users credentials are kept."""
        return len(self._kept)

    async def get(self, user_id: str) -> Credentials:
        """The credentials of a user, as they were at most a minute ago.

        Raises:
            UnknownUser: the source has none for this user.
            CredentialsUnavailable: the source cannot say just now, or takes too long.
        """
        self._drop_old()
        kept = self._kept.get(user_id)
        if kept is not None:
            return kept[1]
        read = self._reads.get(user_id)
        if read is None:
            read = self._reads[user_id] = asyncio.create_task(self._read(user_id))
            read.add_done_callback(lambda ended: self._end(user_id, ended))
        # Shielded: whoever gives up must not take the credentials from the others.
        return await asyncio.shield(read)

    def invalidate(self, user_id: str) -> None:
        """Makes the next `get` ask the source, also if a read is under way: it may have begun before what changed."""
        self._kept.pop(user_id, None)
        self._reads.pop(user_id, None)

    async def _read(self, user_id: str) -> Credentials:
        credentials = await self._ask(user_id)
        if self._reads.get(user_id) is asyncio.current_task():  # not if it was told to forget meanwhile
            self._keep(credentials)
        return credentials

    async def _ask(self, user_id: str) -> Credentials:
        try:
            async with asyncio.timeout(self._read_timeout_s):
                found: object = await self._source.get(user_id)
        except (UnknownUser, CredentialsUnavailable):
            raise
        except TimeoutError:
            problem = "did not answer in time"
        except Exception as exc:  # noqa: BLE001 - a source that fails in its own way says nothing against the user
            problem = f"failed ({type(exc).__name__})"
        else:
            if isinstance(found, Credentials) and found.user_id == user_id:
                return found
            problem = "gave something else than this user's credentials"
        # Raised out here and without the text because an error of a foreign client may hold a token or a reply.
        raise CredentialsUnavailable(f"the source of credentials {problem}, asked for user {user_id[:80]!r}")

    def _keep(self, credentials: Credentials) -> None:
        self._kept.pop(credentials.user_id, None)
        self._kept[credentials.user_id] = (self._clock.monotonic() + self._life_s, credentials)
        if len(self._kept) > self._most_users:
            self._drop_oldest()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._life_s, self._sweep_up)

    def _end(self, user_id: str, read: asyncio.Task[Credentials]) -> None:
        if self._reads.get(user_id) is read:
            del self._reads[user_id]
        if not read.cancelled():
            read.exception()  # seen: those who waited may all have given up

    def _sweep_up(self) -> None:
        """Removes what nobody asks for any more."""
        self._sweep = None
        self._drop_old()
        if self._kept:
            wait_s = max(0.0, self._first_end_s() - self._clock.monotonic())
            self._sweep = asyncio.get_running_loop().call_later(wait_s, self._sweep_up)

    def _drop_old(self) -> None:
        now_s = self._clock.monotonic()
        while self._kept and self._first_end_s() <= now_s:
            self._drop_oldest()

    def _first_end_s(self) -> float:
        return next(iter(self._kept.values()))[0]

    def _drop_oldest(self) -> None:
        del self._kept[next(iter(self._kept))]
