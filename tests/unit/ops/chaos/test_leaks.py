"""Secrets are found in files in every form."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ops.chaos.leaks import SecretFinder, in_files
from ops.chaos.user_keys import UserKeys, replace_file, toml
from ops.exchange.accounts import parse

SECRET = "sk-0123456789abcdef01234567"
OTHER = "pw-fedcba9876543210fedcba98"
SIGNATURE = base64.b64encode(bytes(range(32)))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.encode(),
        f"ERROR request failed: ACCESS-KEY={SECRET}, more".encode(),
        SECRET.encode().hex().encode(),
        base64.b64encode(SECRET.encode()),
        b"sk-sk-sk-0" + SECRET.encode() + b"\x00",
        b"x" * 100_000 + SECRET.encode(),
    ],
)
def test_a_secret_is_found_in_any_form(text: bytes) -> None:
    """Plain, in hexadecimal, in base64, after text that only begins like a secret."""
    assert SecretFinder([OTHER, SECRET]).find(text) == ["sk-0..."]


@pytest.mark.parametrize("text", [b"", b"sk-0123", b"sk-" + b"0" * 24, b"nothing to see", b"a" * 64])
def test_other_text_is_no_secret(text: bytes) -> None:
    """Neither text that only begins like one, nor long runs of letters."""
    assert SecretFinder([SECRET, OTHER]).find(text) == []


def test_a_signature_is_found_by_its_form() -> None:
    """Its value is not known beforehand."""
    assert SecretFinder([]).find(b'{"ACCESS-SIGN": "' + SIGNATURE + b'"}') == ["a signature"]


def test_a_finding_names_its_file_and_not_the_secret(tmp_path: Path) -> None:
    """The report must not leak it."""
    log = tmp_path / "worker.log"
    log.write_text(f"password {OTHER}")
    (found,) = in_files([log, tmp_path / "absent.log"], [SECRET, OTHER])

    assert found == "pw-f... in worker.log"


def test_the_exchange_accepts_rotated_keys_beside_the_old_ones(tmp_path: Path) -> None:
    """All of them are searched for."""
    keys = UserKeys.for_users(("1001", "a:b"), seed=1)
    before = dict(keys.current)
    old = keys.rotate(("a:b",))
    path = tmp_path / "keys.toml"
    replace_file(path, toml(keys.current, old.items()))
    accounts = parse(path.read_text())

    assert path.stat().st_mode & 0o077 == 0
    for user, keys_before in before.items():
        for one in (keys_before, keys.current[user]):
            account = accounts.find(one.api_key)
            assert account is not None
            assert (account.user, account.passphrase) == (user, one.passphrase)
    assert set(keys.every_secret()) >= {before["a:b"].secret_key, keys.current["a:b"].secret_key}
