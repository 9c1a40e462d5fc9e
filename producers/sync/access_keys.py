# Generated from producers/client/access_keys.py by `python -m ops.unasync`: change that file, not this one.
"""The handle to the access keys of the gateway: making, listing, finding and revoking them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable

from redis import Redis

from producers.contract.access_keys import AccessKey, NewKey, Scope, digest_of, new_key
from producers.contract.stored_values import Listing
from producers.contract.validation import check_id
from producers.queue import access_keys
from producers.sync.transport import run_plan
from producers.transport.clients import keyspace_of
from producers.transport.commands import TIME_US


class AccessKeys:
    """The access keys of the gateway, of which Redis holds a hash.

    Use it as `Producer.access_keys`. Each method raises QueueUnavailable if Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keys = keyspace_of(redis)

    def add(
        self,
        name: str,
        scopes: Collection[Scope],
        *,
        user_ids: Iterable[str] = (),
        trader_ids: Iterable[str] = (),
        rate_per_s: float | None = None,
    ) -> NewKey:
        """Make a key. Its text is nowhere else.

        Args:
            name: whose it is, for people.
            scopes: what it permits.
            user_ids: the only users that it may concern; none for all.
            trader_ids: the only traders that it may concern; none for all.
            rate_per_s: calls a second; None for no limit of its own.

        Raises:
            InvalidId: a user or a trader has not a valid ID.
        """
        users = frozenset(check_id("user", user_id) for user_id in user_ids)
        traders = frozenset(check_id("trader", trader_id) for trader_id in trader_ids)
        now_us = run_plan(self._redis, TIME_US(), "reading the time")
        while True:  # until the ID is new, which it is at once
            made = new_key()
            key = AccessKey(
                key_id=made.key_id,
                name=name,
                digest=digest_of(made.text),
                scopes=frozenset(scopes),
                user_ids=users,
                trader_ids=traders,
                rate_per_s=rate_per_s,
                created_at_ms=now_us // 1000,
            )
            if run_plan(self._redis, access_keys.add_key(self._keys, key), "storing the access key"):
                return made

    def list(self) -> Listing[AccessKey]:
        """Return the keys, oldest first."""
        return run_plan(self._redis, access_keys.list_keys(self._keys), "reading the access keys")

    def get(self, key_id: str) -> AccessKey | None:
        """Return a key; None if there is none, or it cannot be read."""
        return run_plan(self._redis, access_keys.fetch_key(self._keys, key_id), "reading an access key")

    def revoke(self, key_id: str) -> bool:
        """Delete a key: gateways refuse it after a second at the latest. Return False if there is none."""
        return run_plan(self._redis, access_keys.revoke_key(self._keys, key_id), "revoking the access key")

    def count_call(self, key: AccessKey) -> float:
        """Count a call of a key. Return the seconds until it may make one; 0 if this one is permitted."""
        if key.rate_per_s is None:
            return 0.0
        return run_plan(self._redis, access_keys.spend_call(key, key.rate_per_s), "counting a call")

    def open_session(self, key_id: str) -> str:
        """Return the token of a new session of a browser, which signed in with a key. It ends by itself in 12 hours."""
        token = secrets.token_urlsafe(32)
        run_plan(self._redis, access_keys.save_session(self._keys, token, key_id), "signing in")
        return token

    def find_session(self, token: str) -> str | None:
        """Return the ID of the key with which a browser signed in; None if its session has ended."""
        return run_plan(self._redis, access_keys.fetch_session(self._keys, token), "reading a session")

    def end_session(self, token: str) -> None:
        """End the session of a browser."""
        run_plan(self._redis, access_keys.end_session(self._keys, token), "signing out")
