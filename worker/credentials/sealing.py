"""A user's credentials as a sealed record, and back: AES-256-GCM, bytes in and out.

A record is

    1 byte    version, 1
    1 byte    length of the key ID
    n bytes   key ID, ASCII: which key of the ring sealed it
    8 bytes   when the credentials were set (Unix ms, big-endian)
    12 bytes  nonce, random for each record
    the rest  ciphertext of the msgpack array [API key, secret key, passphrase, demo], and a tag of 16 bytes

What is in clear is authenticated with the rest, and so is the user: the additional data is a constant, all that stands
before the nonce, and the user ID with its length before it. Every part has a fixed length or tells it, so no two
records of different users, keys or versions have the same additional data, and none can take another's place.

Nonces are random, so one key should seal no more than 2^32 records: some four thousand million `set`s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag

from worker.credentials.key_ring import KeyRing, is_key_id
from worker.credentials.model import Credentials, read_credentials
from worker.errors import CredentialsError, MalformedRecord

VERSION = 1

PURPOSE = b"copytrade credentials"
"""Stands first in the additional data: a ciphertext that the same key made for something else does not open here."""

MOST_BYTES = 8192
"""Of a record. The longest that can be sealed have less than half of it."""

_TIME_BYTES, _NONCE_BYTES, _TAG_BYTES = 8, 12, 16


class _Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is sealed."""

    api_key: str
    secret_key: str
    passphrase: str
    demo: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What a record shows without a key.

    Attributes:
        key_id: the key that sealed it, or so it says.
        set_at_ms: when the credentials were set, Unix time, or so it says.
        head: all that stands before the nonce.
        nonce: of the ciphertext.
        sealed: ciphertext and tag.
    """

    key_id: str
    set_at_ms: int
    head: bytes
    nonce: bytes
    sealed: bytes


def parse(record: bytes, user_id: str) -> Record:
    """The parts of a record; nothing of them is known to be true before it was opened.

    Args:
        record: as it was stored.
        user_id: whose it should be; for errors.

    Raises:
        UnreadableRecord: it is of another version, cut, or no record.
    """
    if record[:1] != bytes([VERSION]):
        raise MalformedRecord(user_id, "its version is not one that this program knows; update the program, or set it")
    id_length = int.from_bytes(record[1:2])
    time_at = 2 + id_length
    nonce_at = time_at + _TIME_BYTES
    sealed_at = nonce_at + _NONCE_BYTES
    key_id = record[2:time_at].decode("latin-1")
    if not sealed_at + _TAG_BYTES <= len(record) <= MOST_BYTES or not is_key_id(key_id):
        raise MalformedRecord(user_id, "it is cut short, too long or garbled; set it again")
    return Record(
        key_id=key_id,
        set_at_ms=int.from_bytes(record[time_at:nonce_at]),
        head=record[:nonce_at],
        nonce=record[nonce_at:sealed_at],
        sealed=record[sealed_at:],
    )


def seal(credentials: Credentials, ring: KeyRing, *, set_at_ms: int) -> bytes:
    """The record of a user's credentials, under the ring's first key. No two calls give the same."""
    key = ring.first
    key_id = key.key_id.encode("ascii")
    head = bytes([VERSION, len(key_id)]) + key_id + set_at_ms.to_bytes(_TIME_BYTES)
    nonce = os.urandom(_NONCE_BYTES)
    content = _Content(
        credentials.api_key.reveal(), credentials.secret_key.reveal(), credentials.passphrase.reveal(), credentials.demo
    )
    sealed = key.cipher.encrypt(nonce, msgspec.msgpack.encode(content), _additional(head, credentials.user_id))
    return head + nonce + sealed


def unseal(record: bytes, user_id: str, ring: KeyRing) -> Credentials:
    """The credentials of a record.

    Args:
        record: as it was stored.
        user_id: whose it must be.
        ring: with the key that it says it was sealed with.

    Raises:
        UnreadableRecord: it is no record, its key is not in the ring, or it is not what was sealed for this user. The
            message names user and key, and says what to do.
    """
    found = parse(record, user_id)
    key = ring.find(found.key_id)
    if key is None:
        problem = f"it is sealed with key {found.key_id!r}, which is not in the key ring; add the key, or set it again"
        raise MalformedRecord(user_id, problem)
    try:
        content = key.cipher.decrypt(found.nonce, found.sealed, _additional(found.head, user_id))
    except InvalidTag:
        problem = (
            f"key {found.key_id!r} does not open it: the record was altered or is another user's,"
            " or the ring has another key of this ID; set it again"
        )
        raise MalformedRecord(user_id, problem) from None
    return _credentials(content, user_id, found.key_id)


def _additional(head: bytes, user_id: str) -> bytes:
    user = user_id.encode("utf-8", "surrogatepass")
    return PURPOSE + head + len(user).to_bytes(4) + user


def _credentials(content: bytes, user_id: str, key_id: str) -> Credentials:
    try:
        fields = msgspec.structs.asdict(msgspec.msgpack.decode(content, type=_Content))
        return read_credentials(user_id, fields, "sealed")
    except (msgspec.DecodeError, CredentialsError, UnicodeDecodeError):
        pass
    # Raised out here so that the error does not lead to the content.
    raise MalformedRecord(user_id, f"key {key_id!r} opens it, but it holds no credentials; set it again")
