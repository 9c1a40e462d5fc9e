"""Where the workers find users' keys: in a file, or sealed in Redis. Either is rewritten while they read."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from ops.chaos.user_keys import Keys, replace_file, toml
from worker.credentials.admin import CredentialAdmin
from worker.credentials.key_ring import parse_key_ring
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.secret import Secret

FILE_IS_READ_WITHIN_S = 3.0
"""The workers look every half second; requests signed with old keys are under way for a while."""
KEY_BYTES = 32


class KeyStore(Protocol):
    """Where keys are written to.

    Attributes:
        name: for people.
        variables: what workers must be told.
        old_ones_live_s: how long workers may still use old keys; None: longer than a run.
        secrets: what must be seen nowhere, besides the users' keys.
    """

    name: str
    variables: Mapping[str, str]
    old_ones_live_s: float | None
    secrets: list[str]

    async def write(self, entries: Mapping[str, Keys]) -> None:
        """Everybody's keys from now on."""
        ...


class KeyFile:
    """A TOML file, replaced by renames."""

    name = "in a file"
    old_ones_live_s: float | None = FILE_IS_READ_WITHIN_S

    def __init__(self, folder: Path) -> None:
        self._path = folder / "workers.toml"
        self.variables: Mapping[str, str] = {"COPYTRADE_CREDENTIALS": f"file:{self._path}"}
        self.secrets: list[str] = []

    async def write(self, entries: Mapping[str, Keys]) -> None:
        """See KeyStore."""
        replace_file(self._path, toml(entries))


class SealedKeys:
    """Records in Redis. Every time, they are all sealed anew with the ring's other key."""

    name = "sealed in Redis"
    old_ones_live_s: float | None = None

    def __init__(self, folder: Path, redis: Redis) -> None:
        path = folder / "ring"
        self.secrets = [base64.b64encode(os.urandom(KEY_BYTES)).decode() for _ in range(2)]
        lines = [f"key-{number}:{key}" for number, key in enumerate(self.secrets)]
        replace_file(path, "\n".join(lines) + "\n")
        self.variables: Mapping[str, str] = {
            "COPYTRADE_CREDENTIALS": "redis:",
            "COPYTRADE_CREDENTIALS_KEYS": f"file:{path}",
        }
        records = SealedRecords(redis)
        self._keepers = [
            CredentialAdmin(records, parse_key_ring("\n".join(ring), "ring")) for ring in (lines, lines[::-1])
        ]

    async def write(self, entries: Mapping[str, Keys]) -> None:
        """See KeyStore."""
        self._keepers.reverse()
        await self._keepers[0].put([_credentials(user, keys) for user, keys in entries.items()])
        await self._keepers[0].rotate()


def _credentials(user: str, keys: Keys) -> Credentials:
    return Credentials(
        user_id=user,
        api_key=Secret(keys.api_key),
        secret_key=Secret(keys.secret_key),
        passphrase=Secret(keys.passphrase),
    )
