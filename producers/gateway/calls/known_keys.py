"""The access keys and browsers' sessions that a gateway has read lately, and what it does while their home is away."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from producers.client.access_keys import AccessKeys
from producers.contract.access_keys import AccessKey
from producers.gateway.calls.home import Home, HomeAway
from producers.gateway.calls.recent import Recent
from producers.queue.access_keys import BURST_S

T = TypeVar("T")

KEY_CACHE_S = 1.0
"""How long a stored key is believed: a revoked one is refused after this at the latest, while the home answers."""

KEPT_S = 3600.0
"""How long a key or a session is believed after the home was last heard of it, while the home of a queue with shards is
away: calls for users whose shards are there are served meanwhile. Nobody can revoke a key in a home that is away."""


class KnownKeys:
    """Reads access keys and sessions. Each method raises QueueUnavailable if the home is away and nothing is known."""

    def __init__(
        self,
        access_keys: Callable[[], AccessKeys],
        *,
        has_shards: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read them by these access keys. Without shards a home that is away serves nobody, whoever is admitted."""
        self._access_keys = access_keys
        self._has_shards = has_shards
        self._home = Home(clock)
        self._keys = Recent[AccessKey](clock)
        self._sessions = Recent[str](clock)
        self._own_rates = OwnRates(clock)

    async def get(self, key_id: str) -> AccessKey | None:
        """Return a key; None if there is none."""
        return await self._read(self._keys, key_id, self._access_keys().get)

    async def find_session(self, token: str) -> str | None:
        """Return the ID of the key with which a browser signed in; None if its session has ended."""
        return await self._read(self._sessions, token, self._access_keys().find_session)

    def forget_session(self, token: str) -> None:
        """Read a session again at the next call."""
        self._sessions.forget(token)

    async def count_call(self, key: AccessKey) -> float:
        """Count a call of a key. Return the seconds until it may make one; 0 if this one is permitted.

        While the home is away, each gateway process counts its own calls.
        """
        if key.rate_per_s is None:
            return 0.0
        if not self._has_shards:
            return await self._access_keys().count_call(key)
        try:
            return await self._home.ask(lambda: self._access_keys().count_call(key))
        except HomeAway:
            return self._own_rates.spend(key.key_id, key.rate_per_s)

    async def _read(self, recent: Recent[T], name: str, read: Callable[[str], Awaitable[T | None]]) -> T | None:
        kept = recent.kept(name, KEPT_S) if self._has_shards else None
        if kept is None:
            return await recent.get(name, read, KEY_CACHE_S)
        try:
            return await recent.get(name, lambda _: self._home.ask(lambda: read(name)), KEY_CACHE_S)
        except HomeAway:
            return kept


class OwnRates:
    """The rates of access keys, counted by this process: as key_rate.lua does it for all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_s: dict[str, float] = {}

    def spend(self, key_id: str, rate_per_s: float) -> float:
        """Count a call. Return the seconds until the key may make one; 0 if this one is permitted."""
        pace_s, now_s = 1 / rate_per_s, self._clock()
        next_s = max(self._next_s.get(key_id, now_s), now_s)
        wait_s = next_s - max(0.0, BURST_S - pace_s) - now_s
        if wait_s > 0:
            return wait_s
        self._next_s[key_id] = next_s + pace_s
        return 0.0
