"""Keys as an operator enters them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzzing import FUZZ
from worker.credentials.model import Credentials
from worker.credentials.parsing import MAX_USER_BYTES, parse_user, parse_users
from worker.errors import CredentialsError
from worker.secret import Secret

OBJECT: dict[str, Any] = {"apiKey": "key-1001", "secretKey": "hush-secret", "passphrase": "hush-pass"}


def keys(user_id: str = "1001", *, demo: bool = False) -> Credentials:
    api_key, secret_key, passphrase = (Secret(text) for text in OBJECT.values())
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def line(**changed: object) -> bytes:
    return json.dumps({"userId": "1001"} | OBJECT | changed).encode() + b"\n"


@pytest.mark.parametrize(
    "text",
    [
        b"key-1001\nhush-secret\nhush-pass\n",
        b"key-1001\r\nhush-secret\r\nhush-pass",
        json.dumps(OBJECT).encode(),
        json.dumps(OBJECT | {"userId": "1001", "demo": False}, indent=2).encode(),
        b'{"api_key": "key-1001", "secret_key": "hush-secret", "Passphrase": "hush-pass"}',
    ],
    ids=["lines", "lines of Windows", "object", "object with all", "other spelling"],
)
def test_parse_user_s_keys_are_three_lines_or_an_object(text: bytes) -> None:
    """However the object's names are spelled."""
    assert parse_user("1001", text, demo=False) == keys()


def test_keys_are_of_demo_trading_if_the_option_or_the_object_says_so() -> None:
    """Either of them is enough."""
    text = json.dumps(OBJECT | {"demo": True}).encode()

    assert (
        parse_user("1001", text, demo=False) == parse_user("1001", b"\n".join(_lines()), demo=True) == keys(demo=True)
    )


def _lines() -> list[bytes]:
    return [value.encode() for value in OBJECT.values()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "standard input has 0 lines; give three lines"),
        (b"hush\nhush", "standard input has 2 lines"),
        (b"hush\nhush\nhush\nhush", "standard input has 4 lines"),
        (b"hush\n\nhush", "secret_key is missing or empty"),
        (b"hush\nhush \nhush", "secret_key must be printable ASCII without spaces around it"),
        (b"hush\n\xff\nhush", "secret_key must be printable ASCII"),
        (b'{"apiKey": "hush"', "not a JSON object"),
        (b'{"apiKey": ["hush"]}', "not a JSON object"),
        (b'{"apiKey": "hush", "secretKey": "hush"}', "passphrase is missing"),
        (b'{"apiKey": "hush", "secretKey": "hush", "passphrase": 7}', "passphrase is missing"),
        (b'{"apiKey": "hush", "hush": "hush"}', "a field is unknown or repeated"),
        (b'{"apiKey": "hush", "api_key": "hush"}', "a field is unknown or repeated"),
        (b'{"userId": "1002", "apiKey": "hush"}', "it is for another user than '1001'"),
        (b'{"a":' * 3000, "not a JSON object"),
        (b"{" + b" " * MAX_USER_BYTES, "more than 16384 bytes"),
    ],
)
def test_parse_user_s_keys_that_cannot_be_used_are_refused_without_being_shown(text: bytes, problem: str) -> None:
    """Not even the name of an unknown field, which may be a value."""
    with pytest.raises(CredentialsError, match=problem) as caught:
        parse_user("1001", text, demo=False)

    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None


def test_parse_users_are_an_object_a_line() -> None:
    """Empty lines are skipped."""
    found, errors = parse_users([line(), b"\n", line(userId="1002", demo=True)])

    assert (found, errors) == ([keys(), keys("1002", demo=True)], [])


def test_every_malformed_line_is_reported_by_number_without_a_value() -> None:
    """A repeated user, an oversized line and a deeply nested one are among the eight."""
    lines = [
        line(),
        b"hush\n",
        line(userId=""),
        line(userId="hush hush"),
        line(userId=1001),
        line(),
        line(passphrase=""),
    ]
    lines += [b"x" * (MAX_USER_BYTES + 1), b"{" * 10_000]

    _, errors = parse_users(lines)

    assert [error.partition(":")[0] for error in errors] == [f"line {number}" for number in range(2, 10)]
    assert "duplicate user '1001'; first on line 1" in errors[4]
    assert "hush" not in " ".join(errors)


@FUZZ
@given(st.binary())
def test_any_bytes_are_keys_or_are_rejected(text: bytes) -> None:
    """Random input raises no error of another kind, and is never three lines of valid keys."""
    found, errors = parse_users([text])
    assert len(found) + len(errors) <= 1
    with pytest.raises(CredentialsError):
        parse_user("1001", text, demo=False)
