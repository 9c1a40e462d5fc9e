"""Access keys of the gateway: `ct_<ID>_<secret>`, of which only a hash is stored. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import NamedTuple

import msgspec

PREFIX = "ct_"
_SECRET_BYTES = 32
_match_key = re.compile(r"ct_([a-z0-9]{8})_([A-Za-z0-9_-]{43})", re.ASCII).fullmatch


class Scope(StrEnum):
    """What a key permits."""

    READ = "read"
    """Statuses, results, progress, overviews."""

    ENQUEUE = "enqueue"
    """New changes and batches; cancelling them."""

    OPERATE = "operate"
    """Pauses, limits, cancelling a user's changes, dead letters."""


class AccessKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An access key as it is stored.

    Attributes:
        key_id: its ID, which is public. The IDs of what is enqueued with it begin with it.
        name: for people.
        digest: SHA-256 of the whole key, hex.
        scopes: what it permits.
        user_ids: the only users that it may concern; empty for all.
        trader_ids: the only traders that it may concern; empty for all.
        rate_per_s: calls a second; None for no limit of its own.
        created_at_ms: when it was made, Unix milliseconds on Redis's clock.
    """

    key_id: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    user_ids: frozenset[str] = frozenset()
    trader_ids: frozenset[str] = frozenset()
    rate_per_s: float | None = None
    created_at_ms: int = 0

    @property
    def is_bound(self) -> bool:
        """Whether it may concern only some users or traders."""
        return bool(self.user_ids or self.trader_ids)

    def permits_lane(self, user_id: str, trader_id: str) -> bool:
        """Return whether it may concern a user and a trader."""
        return (not self.user_ids or user_id in self.user_ids) and (not self.trader_ids or trader_id in self.trader_ids)

    def permits_id(self, name: str) -> bool:
        """Return whether it may ask for a job or a batch: one that is bound only for those that it enqueued."""
        return name.startswith(self.id_prefix)

    @property
    def id_prefix(self) -> str:
        """What the IDs of all jobs and batches begin with that it may ask for; "" if it may ask for all."""
        return f"{self.key_id}." if self.is_bound else ""

    def matches(self, text: str) -> bool:
        """Return whether a key that was presented is this one, in a time that tells nothing."""
        return hmac.compare_digest(self.digest, digest_of(text))


class NewKey(NamedTuple):
    """The ID and the text of a new key. The text is shown once."""

    key_id: str
    text: str


def new_key() -> NewKey:
    """Return a new key."""
    key_id = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(8))
    return NewKey(key_id, f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def key_id_of(text: str) -> str | None:
    """Return the ID in the text of a key; None if it has not the form of one."""
    found = _match_key(text)
    return found[1] if found else None


def digest_of(text: str) -> str:
    """Return the hash that is stored of a key. Its secret is random, so it needs no salt and no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()
