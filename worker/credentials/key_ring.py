"""The key ring: the AES-256 keys that seal users' credentials in Redis. The first one seals, all of them open.

Written as entries `<key ID>:<32 bytes in base64>`, one a line in a file, or with commas between in the environment. A
file may have comments, lines that begin with `#`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.credentials.private_file import read_private
from worker.errors import CredentialsError
from worker.secret import Secret

KEY_BYTES = 32

RULE = "an entry is <key ID>:<32 bytes in base64>; make one with: copytrade credentials new-key"

FILE_SCHEME = "file"
"""What stands before a path. No key may have it for its ID, or a ring could be taken for a path, and be shown."""

_key_id = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of the ring. It cannot be got out of its cipher again, nor shown or pickled."""

    key_id: str
    cipher: AESGCM


class KeyRing:
    """The keys, the one that seals first."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[RingKey]) -> None:
        """A ring of at least one key."""
        self._keys = {key.key_id: key for key in keys}

    @property
    def first(self) -> RingKey:
        """The key that seals."""
        return next(iter(self._keys.values()))

    def find(self, key_id: str) -> RingKey | None:
        """The key of an ID; None if it is not in the ring."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing can be neither pickled nor copied")


def open_key_ring(given: Secret, variable: str) -> KeyRing:
    """The ring that a setting names or is.

    Args:
        given: `file:PATH`, or the entries themselves.
        variable: the setting's name, for errors.

    Raises:
        CredentialsError: it cannot be used; the message names the place and never a key.
    """
    text = given.reveal()
    scheme, _, rest = text.partition(":")
    if scheme != FILE_SCHEME:
        return parse_key_ring(text, f"the key ring in {variable}")
    if _key_of(rest.partition(",")[0]) is not None:
        raise CredentialsError(f"the key ring in {variable}: {FILE_SCHEME!r} cannot be the ID of a key")
    path = Path(rest).expanduser()
    _, content = read_private(path, "key ring file")
    return parse_key_ring(content.decode(errors="replace"), f"key ring file {path}")


def parse_key_ring(text: str, source: str) -> KeyRing:
    """The ring of a text.

    Raises:
        CredentialsError: it is no ring. The message tells an entry by its number only: what stands before its colon may
            be the key.
    """
    entries = [
        entry.strip() for line in text.splitlines() if not line.lstrip().startswith("#") for entry in line.split(",")
    ]
    keys: list[RingKey] = []
    seen: list[bytes] = []
    for number, entry in enumerate(filter(None, entries), 1):
        where = f"{source}, entry {number}"
        key_id, _, encoded = entry.partition(":")
        key = _key_of(encoded)
        if key is None or not is_key_id(key_id):
            raise CredentialsError(f"{where}: {RULE}")
        if any(key_id == other.key_id for other in keys):
            raise CredentialsError(f"{where}: its ID is that of an entry before it; every key has its own")
        if any(hmac.compare_digest(key, other) for other in seen):
            raise CredentialsError(f"{where}: it is the same key as an entry before it, under another ID")
        seen.append(key)
        keys.append(RingKey(key_id, AESGCM(key)))
    if not keys:
        raise CredentialsError(f"{source} is empty; {RULE}")
    return KeyRing(keys)


def new_entry(key_id: str) -> str:
    """An entry with a fresh key.

    Raises:
        CredentialsError: the ID cannot be one.
    """
    if not is_key_id(key_id):
        raise CredentialsError(f"a key ID has 1 to 32 letters, digits, '.', '_' and '-', and is not {FILE_SCHEME!r}")
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def is_key_id(text: str) -> bool:
    """Whether a key may have this ID."""
    return _key_id.fullmatch(text) is not None and text != FILE_SCHEME


def _key_of(encoded: str) -> bytes | None:
    """The key that an entry has after its colon; None if that is none."""
    try:
        key = base64.b64decode(encoded.encode(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
