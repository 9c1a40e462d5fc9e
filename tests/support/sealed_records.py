"""Sealed records of made-up users, for tests of the store in Redis."""

from __future__ import annotations

from worker.credentials.key_ring import KeyRing, new_entry, parse_key_ring
from worker.credentials.model import Credentials
from worker.secret import Secret

OLD, NEW = new_entry("2026a"), new_entry("2026b")


def ring(*entries: str) -> KeyRing:
    return parse_key_ring(",".join(entries), "the ring")


def keys(user_id: str, mark: str = "") -> Credentials:
    return Credentials(
        user_id=user_id,
        api_key=Secret(f"key-{user_id}{mark}"),
        secret_key=Secret(f"secret-{user_id}{mark}"),
        passphrase=Secret(f"pass-{user_id}{mark}"),
    )
