"""Sealed records: what opens them, and that nothing else does."""

from __future__ import annotations

import traceback
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzzing import FUZZ
from tests.support.sealed_records import ring
from worker.credentials.key_ring import KeyRing, new_entry
from worker.credentials.model import MAX_SECRET_CHARS, Credentials
from worker.credentials.sealing import MAX_RECORD_BYTES, PURPOSE, VERSION, parse, seal, unseal
from worker.errors import MalformedRecord
from worker.secret import Secret

OLD, NEW, OTHER = new_entry("2026a"), new_entry("2026b"), new_entry("2026c")
SET_AT_MS = 1_790_000_000_000

TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)
USER_IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)


RING = ring(NEW, OLD)


def keys(user_id: str = "1001", **changed: Any) -> Credentials:
    fields = {"api_key": "key-1001", "secret_key": "hush-secret", "passphrase": "hush-pass"} | changed
    demo = fields.pop("demo", False)
    return Credentials(user_id=user_id, demo=demo, **{name: Secret(text) for name, text in fields.items()})


RECORD = seal(keys(), RING, set_at_ms=SET_AT_MS)


def refusal(record: bytes, user_id: str = "1001", with_ring: KeyRing = RING) -> str:
    """Return the message that a record is rejected with; it names the user and leads to no secret."""
    with pytest.raises(MalformedRecord) as caught:
        unseal(record, user_id, with_ring)
    told = "".join(traceback.format_exception(caught.value))
    assert f"user {user_id!r}" in str(caught.value)
    assert not any(secret in told for secret in ("hush", "key-1001", NEW.partition(":")[2]))
    assert "\n" not in str(caught.value)
    return caught.value.problem


@FUZZ
@given(USER_IDS, TEXTS, TEXTS, TEXTS, st.booleans())
def test_a_sealed_record_opens_to_what_was_sealed(
    user_id: str, api_key: str, secret_key: str, phrase: str, demo: bool
) -> None:
    """For any printable ASCII in ID and keys, with and without demo trading."""
    sealed = keys(user_id, api_key=api_key, secret_key=secret_key, passphrase=phrase, demo=demo)

    assert unseal(seal(sealed, RING, set_at_ms=SET_AT_MS), user_id, RING) == sealed


def test_key_id_and_time_of_a_record_are_readable_without_a_key() -> None:
    """Records of an old key can be found without opening them."""
    found = parse(RECORD, "1001")

    assert (found.key_id, found.set_at_ms) == ("2026b", SET_AT_MS)


def test_no_two_records_are_alike_and_none_holds_a_secret_in_clear() -> None:
    """The random nonce makes a thousand records of the same keys differ."""
    records = {seal(keys(), RING, set_at_ms=SET_AT_MS) for _ in range(1000)}

    assert len({parse(record, "1001").nonce for record in records}) == 1000
    assert not any(part in record for record in records for part in (b"hush", b"key-1001", b"1001"))


def test_a_record_sealed_with_an_older_key_of_the_ring_opens() -> None:
    """A new first key leaves existing records usable."""
    assert unseal(seal(keys(), ring(OLD), set_at_ms=SET_AT_MS), "1001", RING) == keys()


def test_a_record_of_another_user_does_not_open() -> None:
    """Whoever can write to Redis cannot give one user's keys to another."""
    problem = refusal(RECORD, "1002")

    assert "key '2026b' does not open it: the record was altered or is another user's" in problem


@FUZZ
@given(USER_IDS.filter(lambda user_id: user_id != "1001"))
def test_a_record_opens_for_no_user_but_its_own(user_id: str) -> None:
    """Not for a prefix of its user's ID, nor for a longer one."""
    refusal(RECORD, user_id)


def test_a_record_of_a_missing_key_is_reported_with_the_key_and_the_remedy() -> None:
    """The key ID in the record says which key to add."""
    problem = refusal(RECORD, with_ring=ring(OLD))

    assert problem == "it is sealed with key '2026b', which is not in the key ring; add the key, or set it again"


def test_another_key_of_the_same_id_does_not_open_a_record() -> None:
    """Two rings may have been mixed up, and the message says so."""
    assert "another key with this ID" in refusal(RECORD, with_ring=ring(f"2026b:{OTHER.partition(':')[2]}"))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_record_of_another_version_is_rejected(version: int) -> None:
    """A record of a later format must not be misread as this one."""
    assert "its version is unknown to this program" in refusal(bytes([version]) + RECORD[1:])


@pytest.mark.parametrize("length", range(len(RECORD)))
def test_a_truncated_record_does_not_open(length: int) -> None:
    """Every length below the full one is tried, from zero on."""
    refusal(RECORD[:length])


@pytest.mark.parametrize("place", range(len(RECORD)))
def test_a_record_with_a_flipped_bit_does_not_open(place: int) -> None:
    """Also in its time, which is in clear."""
    for bit in range(8):
        altered = bytearray(RECORD)
        altered[place] ^= 1 << bit
        refusal(bytes(altered))


def test_the_longest_credentials_there_can_be_are_sealed_and_opened() -> None:
    """A longer record is rejected before it is opened."""
    longest = keys(
        "u" * 128, api_key="a" * MAX_SECRET_CHARS, secret_key="s" * MAX_SECRET_CHARS, passphrase="p" * MAX_SECRET_CHARS
    )
    record = seal(longest, ring(f"{'k' * 32}:{OTHER.partition(':')[2]}", NEW), set_at_ms=SET_AT_MS)

    assert len(record) < MAX_RECORD_BYTES / 2
    assert "too long" in refusal(RECORD + bytes(MAX_RECORD_BYTES))


def test_a_record_with_trailing_bytes_does_not_open() -> None:
    """A single zero byte is enough."""
    refusal(RECORD + b"\0")


def test_a_record_cannot_be_passed_off_as_one_of_another_key_of_the_ring() -> None:
    """The key ID is authenticated."""
    same_key = ring(NEW, f"2026x:{OTHER.partition(':')[2]}")

    refusal(RECORD.replace(b"2026b", b"2026x"), with_ring=same_key)


@FUZZ
@given(st.binary(max_size=400))
def test_random_bytes_are_rejected(record: bytes) -> None:
    """The error is always `MalformedRecord`, and it names the user."""
    refusal(record)


@FUZZ
@given(st.integers(0, 255), st.binary(max_size=300), st.sampled_from([b"2026b", b"2026a", b"x", b"", b"\xff"]))
def test_random_bytes_after_a_valid_header_are_rejected(id_length: int, rest: bytes, key_id: bytes) -> None:
    """The header's key may be known, unknown, unnamed or not text."""
    refusal(bytes([VERSION, id_length]) + key_id + rest)
    refusal(bytes([VERSION, len(key_id)]) + key_id + rest)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hush",
        msgspec.msgpack.encode({"api_key": "hush"}),
        msgspec.msgpack.encode(["hush", "hush", "hush"]),
        msgspec.msgpack.encode(["hush", "hush", "hush", False, "more"]),
        msgspec.msgpack.encode(["hush", "hush", 7, False]),
        msgspec.msgpack.encode(["hush", "hush\r\nX: y", "hush", False]),
        msgspec.msgpack.encode(["hush", "", "hush", False]),
    ],
)
def test_a_sealed_record_must_contain_valid_credentials(content: bytes) -> None:
    """Each record is authentic, so its content alone is at fault."""
    found = parse(RECORD, "1001")
    additional = PURPOSE + found.head + (4).to_bytes(4) + b"1001"
    sealed = RING.first.cipher.encrypt(found.nonce, content, additional)

    assert "it contains no credentials" in refusal(found.head + found.nonce + sealed)
