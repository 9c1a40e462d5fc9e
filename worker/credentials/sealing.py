"""Encryption of a user's credentials as a record, with AES-256-GCM. No I/O.

A record consists of

    1 byte    version, 1
    1 byte    length of the key ID
    n bytes   key ID, ASCII: the key of the ring that sealed the record
    8 bytes   when the credentials were set (Unix ms, big-endian)
    12 bytes  nonce, random for each record
    the rest  ciphertext of the msgpack array [API key, secret key, passphrase, demo], and a tag of 16 bytes

The additional data, which is authenticated, consists of a constant, all bytes before the nonce, the length of the user
ID, and the user ID. Every part has a fixed or stated length, so records of different users, keys or versions have
different additional data, and no record can replace another one.

Nonces are random, so one key should seal at most 2^32 records.
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
"""Prefix of the additional data. With it, a ciphertext that a key made for another purpose is not authentic."""

MAX_RECORD_BYTES = 8192
"""More than twice the length of the longest record that `seal` can return."""

_TIME_BYTES, _NONCE_BYTES, _TAG_BYTES = 8, 12, 16


class _Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The sealed part of a record."""

    api_key: str
    secret_key: str
    passphrase: str
    demo: bool


@dataclass(frozen=True, slots=True)
class Record:
    """The parts of a record, which are not authenticated before `unseal`.

    Attributes:
        key_id: the key that sealed it.
        set_at_ms: when the credentials were set, Unix time.
        head: all bytes before the nonce.
        nonce: the nonce.
        sealed: ciphertext and tag.
    """

    key_id: str
    set_at_ms: int
    head: bytes
    nonce: bytes
    sealed: bytes


def parse(record: bytes, user_id: str) -> Record:
    """Split a stored record into its parts, without opening it.

    Args:
        record: the record.
        user_id: the user, for error messages.

    Raises:
        MalformedRecord: it has another version, is truncated, or is not a record.
    """
    if record[:1] != bytes([VERSION]):
        raise MalformedRecord(user_id, "its version is unknown to this program; update the program, or set it again")
    id_length = int.from_bytes(record[1:2])
    time_at = 2 + id_length
    nonce_at = time_at + _TIME_BYTES
    sealed_at = nonce_at + _NONCE_BYTES
    key_id = record[2:time_at].decode("latin-1")
    if not sealed_at + _TAG_BYTES <= len(record) <= MAX_RECORD_BYTES or not is_key_id(key_id):
        raise MalformedRecord(user_id, "it is truncated, too long or garbled; set it again")
    return Record(
        key_id=key_id,
        set_at_ms=int.from_bytes(record[time_at:nonce_at]),
        head=record[:nonce_at],
        nonce=record[nonce_at:sealed_at],
        sealed=record[sealed_at:],
    )


def seal(credentials: Credentials, ring: KeyRing, *, set_at_ms: int) -> bytes:
    """Return a record of the credentials, sealed with the first key of the ring. Its nonce is new at each call."""
    key = ring.first
    key_id = key.key_id.encode("ascii")
    head = bytes([VERSION, len(key_id)]) + key_id + set_at_ms.to_bytes(_TIME_BYTES)
    nonce = os.urandom(_NONCE_BYTES)
    content = _Content(
        credentials.api_key.reveal(), credentials.secret_key.reveal(), credentials.passphrase.reveal(), credentials.demo
    )
    sealed = key.cipher.encrypt(nonce, msgspec.msgpack.encode(content), _additional_data(head, credentials.user_id))
    return head + nonce + sealed


def unseal(record: bytes, user_id: str, ring: KeyRing) -> Credentials:
    """Open a stored record and return the credentials.

    Args:
        record: the record.
        user_id: the user for whom it must have been sealed.
        ring: the keys, among them the one that sealed it.

    Raises:
        MalformedRecord: it is not a record, its key is not in the ring, or it was altered or sealed for another user.
    """
    parsed = parse(record, user_id)
    key = ring.find(parsed.key_id)
    if key is None:
        problem = f"it is sealed with key {parsed.key_id!r}, which is not in the key ring; add the key, or set it again"
        raise MalformedRecord(user_id, problem)
    try:
        content = key.cipher.decrypt(parsed.nonce, parsed.sealed, _additional_data(parsed.head, user_id))
    except InvalidTag:
        problem = (
            f"key {parsed.key_id!r} does not open it: the record was altered or is another user's,"
            " or the ring has another key with this ID; set it again"
        )
        raise MalformedRecord(user_id, problem) from None
    return _decode(content, user_id, parsed.key_id)


def _additional_data(head: bytes, user_id: str) -> bytes:
    user = user_id.encode("utf-8", "surrogatepass")
    return PURPOSE + head + len(user).to_bytes(4) + user


def _decode(content: bytes, user_id: str, key_id: str) -> Credentials:
    try:
        fields = msgspec.structs.asdict(msgspec.msgpack.decode(content, type=_Content))
        return read_credentials(user_id, fields, "sealed")
    except (msgspec.DecodeError, CredentialsError, UnicodeDecodeError):
        pass
    # Raised outside `except`, so without cause: those errors contain the decrypted content.
    raise MalformedRecord(user_id, f"key {key_id!r} opens it, but it contains no credentials; set it again")
