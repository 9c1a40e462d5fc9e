"""The credentials file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.exchange import Account, AccountsError, load, parse

ALICE = '[users.1001]\napi_key = "a"\nsecret_key = "hidden-secret"\npassphrase = "hidden-pass"\n'
EXTRA = '[[users.1001.extra_keys]]\napi_key = "a2"\nsecret_key = "s2"\npassphrase = "p2"\ndemo = true\n'


def test_a_users_keys_all_lead_to_the_user(tmp_path: Path) -> None:
    """Each key has its own secret and its own environment."""
    file = tmp_path / "credentials.toml"
    file.write_text(ALICE + "note = 'for people'\n" + EXTRA)
    accounts = load(file)
    assert accounts.find("a") == Account(user="1001", api_key="a", secret_key="hidden-secret", passphrase="hidden-pass")
    second = accounts.find("a2")
    assert second is not None
    assert (second.user, second.demo, second.uta) == ("1001", True, False)
    assert accounts.find("b") is None
    assert len(accounts) == 2


def test_no_secret_is_in_a_repr() -> None:
    """This holds for one account and for the whole collection."""
    accounts = parse(ALICE)
    assert "hidden" not in f"{accounts!r} {accounts.find('a')!r}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[users", "TOML"),
        ("", "no users"),
        ("users = 3", "no users"),
        ("[users]\n1001 = 3", "1001"),
        (ALICE.replace("api_key", "apikey"), "1001.*api_key"),
        (ALICE.replace('"hidden-secret"', "3"), "1001.*secret_key"),
        (ALICE + "extra_keys = 3", "extra_keys"),
        (ALICE + ALICE.replace("1001", "1002"), "1001.*1002.*same api_key"),
    ],
)
def test_a_malformed_file_is_rejected_with_the_entry_and_without_its_secrets(text: str, named: str) -> None:
    """Cases: TOML syntax, missing users, wrong types, and one API key in two entries."""
    with pytest.raises(AccountsError, match=named) as refusal:
        parse(text)
    assert "hidden" not in str(refusal.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    """The message contains the path."""
    with pytest.raises(AccountsError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
