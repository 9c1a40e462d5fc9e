"""The key ring: AES-256 keys that seal users' credentials in Redis. The first key seals; every key can open.

A ring consists of entries `<key ID>:<32 bytes in base64>`: one a line in a file, or separated by commas in an
environment variable. Lines of a file that begin with `#` are comments.
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

from worker.credentials.private_file import decode_text, read_private
from worker.errors import CredentialsError
from worker.secret import Secret

KEY_BYTES = 32

ENTRY_RULE = "an entry is <key ID>:<32 bytes in base64>; make one with: copytrade credentials new-key"

FILE_SCHEME = "file"
"""Prefix of a path. It cannot be a key ID: `file:<key>` would be read as a path, and errors show paths."""

_key_id = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of the ring. Its cipher does not show it in a repr and cannot be pickled."""

    key_id: str
    cipher: AESGCM


class KeyRing:
    """Keys in their order; the first one seals."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[RingKey]) -> None:
        """Create a ring of at least one key."""
        self._keys = {key.key_id: key for key in keys}

    @property
    def first(self) -> RingKey:
        """The key that seals."""
        return next(iter(self._keys.values()))

    def find(self, key_id: str) -> RingKey | None:
        """Return the key with this ID, or None."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing can be neither pickled nor copied")


def open_key_ring(setting: Secret, variable: str) -> KeyRing:
    """Return the key ring of a setting.

    Args:
        setting: `file:PATH`, or the entries.
        variable: name of the environment variable, for error messages.

    Raises:
        CredentialsError: the ring is invalid; the message says where and contains no key.
    """
    text = setting.reveal()
    scheme, _, rest = text.partition(":")
    if scheme != FILE_SCHEME:
        return parse_key_ring(text, f"the key ring in {variable}")
    if _decode_key(rest.partition(",")[0]) is not None:
        raise CredentialsError(f"the key ring in {variable}: {FILE_SCHEME!r} cannot be the ID of a key")
    path = Path(rest).expanduser()
    _, content = read_private(path, "key ring file")
    source = f"key ring file {path}"
    return parse_key_ring(decode_text(content, source), source)


def parse_key_ring(text: str, source: str) -> KeyRing:
    """Return the key ring of a text.

    Raises:
        CredentialsError: an entry is invalid. The message has only its number, because any part of it may be the key.
    """
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    entries = (entry.strip() for line in lines for entry in line.split(","))
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(filter(None, entries), 1):
        where = f"{source}, entry {number}"
        key_id, _, encoded = entry.partition(":")
        key = _decode_key(encoded)
        if key is None or not is_key_id(key_id):
            raise CredentialsError(f"{where}: {ENTRY_RULE}")
        if key_id in keys:
            raise CredentialsError(f"{where}: an earlier entry has the same ID; give every key its own")
        if any(hmac.compare_digest(key, other) for other in keys.values()):
            raise CredentialsError(f"{where}: an earlier entry has the same key under another ID; remove one")
        keys[key_id] = key
    if not keys:
        raise CredentialsError(f"{source} is empty; {ENTRY_RULE}")
    return KeyRing([RingKey(key_id, AESGCM(key)) for key_id, key in keys.items()])


def new_entry(key_id: str) -> str:
    """Return an entry with a new random key.

    Raises:
        CredentialsError: the ID is invalid.
    """
    if not is_key_id(key_id):
        raise CredentialsError(f"a key ID has 1 to 32 letters, digits, '.', '_' and '-', and is not {FILE_SCHEME!r}")
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def is_key_id(text: str) -> bool:
    """Return whether a text is a valid key ID."""
    return _key_id.fullmatch(text) is not None and text != FILE_SCHEME


def _decode_key(encoded: str) -> bytes | None:
    """Return the key of an entry, or None if it is not 32 bytes in base64."""
    try:
        key = base64.b64decode(encoded.encode(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
