"""The key ring: its syntax, and that nothing shows a key."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzzing import FUZZ
from worker.credentials.key_ring import KeyRing, is_key_id, new_entry, open_key_ring, parse_key_ring
from worker.errors import CredentialsError
from worker.secret import Secret

NEW, OLD = new_entry("2026b"), new_entry("2026a")
KEY = NEW.partition(":")[2]


def refusal(text: str) -> CredentialsError:
    """Return the message that a ring is rejected with; it must not show a key."""
    with pytest.raises(CredentialsError) as caught:
        parse_key_ring(text, "the ring")
    assert KEY[:8] not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    "text",
    [f"{NEW},{OLD}", f" {NEW} , {OLD} ,", f"{NEW}\n{OLD}\n", f"# ours: all, of them\n\n{NEW}\r\n  # old\n{OLD}"],
    ids=["commas", "spaces", "lines", "comments"],
)
def test_the_first_key_seals_and_all_open(text: str) -> None:
    """Entries are separated by commas or lines."""
    ring = parse_key_ring(text, "the ring")

    assert ring.first.key_id == "2026b"
    assert [key.key_id if key else None for key in map(ring.find, ("2026b", "2026a", "2025"))] == [
        "2026b",
        "2026a",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the ring is empty; an entry is"),
        ("# nothing\n,", "the ring is empty"),
        (KEY, "entry 1: an entry is <key ID>:<32 bytes in base64>"),
        (f"{OLD},{KEY}:2026b", "entry 2: an entry is"),
        (f"2026b:{KEY[:-5]}", "entry 1: an entry is"),
        (f"2026b:{KEY[:-1]}", "entry 1: an entry is"),
        (f"2026b:!{KEY[1:]}", "entry 1: an entry is"),
        (f"2026b:{KEY}{KEY}", "entry 1: an entry is"),
        (f"2026 b:{KEY}", "entry 1: an entry is"),
        (f":{KEY}", "entry 1: an entry is"),
        (f"{'b' * 33}:{KEY}", "entry 1: an entry is"),
        (f"{NEW},{NEW}", "entry 2: an earlier entry has the same ID"),
        (f"{NEW},2027:{KEY}", "entry 2: an earlier entry has the same key"),
    ],
    ids=count(1),  # the texts hold random keys, and parallel processes must name a test alike
)
def test_a_malformed_ring_is_rejected_by_the_number_of_its_entry(text: str, problem: str) -> None:
    """The text is not shown: it may be the key."""
    assert problem in str(refusal(text))


@FUZZ
@given(st.text())
def test_any_text_is_a_key_ring_or_is_rejected(text: str) -> None:
    """No text raises an error of another kind."""
    with suppress(CredentialsError):
        parse_key_ring(text, "the ring")


@FUZZ
@given(st.binary())
def test_any_file_is_a_key_ring_or_is_rejected(content: bytes) -> None:
    """Bytes that are not UTF-8 raise no error of their own."""
    with suppress(CredentialsError):
        parse_key_ring(content.decode(errors="replace"), "the ring")


def test_a_ring_comes_from_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """The error is a command to run."""
    path = tmp_path / "ring"
    path.write_text(f"{NEW}\n{OLD}\n")
    path.chmod(0o640)

    with pytest.raises(CredentialsError, match=f"key ring file {path} is open to other users; .*: chmod 600 {path}"):
        open_key_ring(Secret(f"file:{path}"), "VARIABLE")
    path.chmod(0o600)

    assert open_key_ring(Secret(f"file:{path}"), "VARIABLE").first.key_id == "2026b"


def test_a_ring_comes_from_the_environment() -> None:
    """An error names the variable and the number of the entry."""
    assert open_key_ring(Secret(NEW), "VARIABLE").first.key_id == "2026b"
    with pytest.raises(CredentialsError, match="the key ring in VARIABLE, entry 1"):
        open_key_ring(Secret(KEY), "VARIABLE")


def test_a_key_cannot_be_taken_for_a_path() -> None:
    """A path is shown in errors; a key must not be."""
    with pytest.raises(CredentialsError, match="'file' cannot be the ID of a key") as caught:
        open_key_ring(Secret(f"file:{KEY},{OLD}"), "VARIABLE")

    assert KEY[:8] not in str(caught.value)
    with pytest.raises(CredentialsError):
        new_entry("file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(CredentialsError, match=r"none does not exist: create it, or correct this path"):
        open_key_ring(Secret(f"file:{tmp_path / 'none'}"), "VARIABLE")


def test_a_ring_shows_the_ids_of_its_keys_only_and_cannot_be_pickled_or_copied() -> None:
    """The same applies to each of its keys."""
    ring = parse_key_ring(f"{NEW},{OLD}", "the ring")

    assert repr(ring) == "KeyRing(2026b, 2026a)"
    assert KEY not in repr(ring.first)
    assert base64.b64decode(KEY) not in repr(ring.first).encode()
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        for what in (ring, ring.first.cipher):
            with pytest.raises(TypeError):
                leak(what)
    with pytest.raises(TypeError):
        pickle.dumps(ring.first)


def test_a_new_entry_is_a_ring_and_no_two_have_one_key() -> None:
    """A ring rejects a repeated key, so a hundred entries that form one are distinct."""
    entries = [new_entry(f"k{number}") for number in range(100)]

    assert isinstance(parse_key_ring(",".join(entries), "the ring"), KeyRing)


@pytest.mark.parametrize("key_id", ["", "a b", "a:b", "a,b", "ä", "#a", "x" * 33, "file", "a\n"])
def test_a_key_id_has_letters_digits_dots_underscores_and_hyphens_only(key_id: str) -> None:
    """It has at most 32 characters, and cannot be `file`, which begins a path."""
    assert not is_key_id(key_id)
    with pytest.raises(CredentialsError):
        new_entry(key_id)
