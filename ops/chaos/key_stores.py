"""Where the workers find users' keys: in a file, or sealed in Redis. Both are rewritten while workers read them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from redis.asyncio import Redis

from ops.chaos.user_keys import Keys, replace_file, toml
from worker.credentials.admin import CredentialAdmin
from worker.credentials.key_ring import parse_key_ring
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.secret import Secret

FILE_MAX_AGE_S = 3.0
"""The workers check the file every half second; requests signed with old keys may then still be in flight."""
KEY_BYTES = 32


class KeyFile:
    """A TOML file that is replaced by a rename.

    Attributes:
        name: for people.
        variables: the workers' environment variables.
        max_age_s: how long workers may still use old keys; None if longer than a run.
        secrets: its own secrets.
    """

    name = "in a file"
    max_age_s: float | None = FILE_MAX_AGE_S

    def __init__(self, folder: Path) -> None:
        self._path = folder / "workers.toml"
        self.variables: Mapping[str, str] = {"COPYTRADE_CREDENTIALS": f"file:{self._path}"}
        self.secrets: list[str] = []

    async def write(self, entries: Mapping[str, Keys]) -> None:
        """Replace the keys of all users."""
        replace_file(self._path, toml(entries))


class SealedKeys:
    """Records in Redis. Each write seals all of them with the other key of the key ring. See KeyFile."""

    name = "sealed in Redis"
    max_age_s: float | None = None

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
        self._admins = [
            CredentialAdmin(records, parse_key_ring("\n".join(ring), "ring")) for ring in (lines, lines[::-1])
        ]

    async def write(self, entries: Mapping[str, Keys]) -> None:
        """Replace the keys of all users."""
        self._admins.reverse()
        await self._admins[0].put([_credentials(user, keys) for user, keys in entries.items()])
        await self._admins[0].rotate()


KeyStore = KeyFile | SealedKeys


def _credentials(user: str, keys: Keys) -> Credentials:
    return Credentials(
        user_id=user,
        api_key=Secret(keys.api_key),
        secret_key=Secret(keys.secret_key),
        passphrase=Secret(keys.passphrase),
    )
