"""Secrets, and credentials made of them."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, replace
from typing import Any

import msgspec
import pytest

from worker.credentials.model import MAX_SECRET_CHARS, Credentials, read_credentials
from worker.errors import CredentialsError
from worker.secret import Secret

KEYS = Credentials(
    user_id="1001", api_key=Secret("key-1001"), secret_key=Secret("hush-secret"), passphrase=Secret("hush-pass")
)


def test_a_secret_is_shown_only_by_reveal() -> None:
    """Every way of formatting it, also inside a list, gives a placeholder."""
    secret = Secret("hush")

    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s" % secret, repr([secret])]  # noqa: UP031

    assert not any("hush" in text for text in shown)
    assert repr(secret) == str(secret) == f"{secret}" == "<secret>"
    assert secret.reveal() == "hush"


def test_a_secret_can_be_neither_pickled_nor_copied_nor_encoded() -> None:
    """Otherwise it could get into a job, a result or a dump."""
    secret = Secret("hush")
    credentials = Credentials(user_id="1", api_key=secret, secret_key=secret, passphrase=secret)

    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            leak(secret)
    with pytest.raises(TypeError):
        pickle.dumps(credentials)
    with pytest.raises(TypeError):
        asdict(credentials)


def test_a_secret_is_equal_to_one_of_the_same_text_and_to_nothing_else() -> None:
    """Changed credentials can be noticed without revealing them."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_credentials_hide_their_secrets() -> None:
    """Their repr is safe in a log line."""
    secret = Secret("hush")

    assert repr(Credentials(user_id="1", api_key=secret, secret_key=secret, passphrase=secret)) == (
        "Credentials(user_id='1', api_key=<secret>, secret_key=<secret>, passphrase=<secret>, demo=False)"
    )


def test_a_fingerprint_depends_on_the_keys_only() -> None:
    """It has 16 characters, and two users with the same keys share it."""
    assert KEYS.fingerprint == replace(KEYS, user_id="1002").fingerprint == "fb54f9c77bf8305a"
    assert len(KEYS.fingerprint) == 16


@pytest.mark.parametrize(
    "changed",
    [
        {"api_key": Secret("key-1002")},
        {"secret_key": Secret("hush-secret2")},
        {"passphrase": Secret("hush-Pass")},
        {"demo": True},
        {"api_key": Secret("key-1001h"), "secret_key": Secret("ush-secret")},
        {"secret_key": Secret("hush-pass"), "passphrase": Secret("hush-secret")},
    ],
    ids=["api key", "secret key", "passphrase", "demo", "one letter moved", "two exchanged"],
)
def test_a_fingerprint_changes_with_any_of_the_keys(changed: dict[str, Any]) -> None:
    """Also if a letter moves to the next key, or two keys are exchanged."""
    assert replace(KEYS, **changed).fingerprint != KEYS.fingerprint


def test_an_oversized_secret_is_rejected() -> None:
    """The maximum is 1,024 characters; the error names the field."""
    fields = {"api_key": "k" * (MAX_SECRET_CHARS + 1), "secret_key": "s", "passphrase": "p"}

    with pytest.raises(CredentialsError, match="here: api_key must have at most 1024 characters"):
        read_credentials("1001", fields, "here")
