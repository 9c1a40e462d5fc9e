"""The double's users and their API keys, read from a TOML file.

    [users.1001]
    api_key = "..."
    secret_key = "..."
    passphrase = "..."
    demo = false            # optional: a key of the demo environment
    uta = false             # optional: the account is in unified mode, which the classic API rejects

    [[users.1001.extra_keys]]   # optional: more keys of the same user; they share its limit
    api_key = "..."
    secret_key = "..."
    passphrase = "..."

Other entries of a user are ignored, so the worker's credentials file can be used as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec


class AccountsError(ValueError):
    """Unusable credentials; the message names the entry, never its secrets."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One API key and the user it belongs to.

    Attributes:
        user: the user ID; all keys of one user share the user's limits and settings.
        api_key: the value of ACCESS-KEY.
        secret_key: the key of the HMAC.
        passphrase: the value of ACCESS-PASSPHRASE.
        demo: whether the key belongs to the demo environment; its requests must carry `paptrading: 1`.
        uta: whether the account is in unified mode; every classic request is then rejected.
    """

    user: str
    api_key: str
    secret_key: str
    passphrase: str
    demo: bool = False
    uta: bool = False

    def __repr__(self) -> str:
        return f"Account(user={self.user!r}, demo={self.demo}, uta={self.uta})"


class Accounts:
    """All accounts, looked up by API key.

    Raises:
        AccountsError: two accounts have the same API key.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_key: dict[str, Account] = {}
        for account in accounts:
            other = self._by_key.setdefault(account.api_key, account)
            if other is not account:
                raise AccountsError(
                    f"users {other.user!r} and {account.user!r} have the same api_key: give each entry its own"
                )

    def find(self, api_key: str) -> Account | None:
        """Return the account of an API key, or None."""
        return self._by_key.get(api_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def __repr__(self) -> str:
        return f"Accounts({len(self)} keys)"


def load(path: Path) -> Accounts:
    """Read a credentials file.

    Raises:
        AccountsError: the file cannot be read, is not TOML, or an entry is incomplete.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AccountsError(f"credentials file {path} cannot be read: {error}") from error
    return parse(text)


def parse(text: str) -> Accounts:
    """Read credentials from the text of a TOML file.

    Raises:
        AccountsError: the text is not TOML, or an entry is incomplete.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AccountsError(f"credentials are not TOML: {error}") from error
    users = document.get("users")
    if not isinstance(users, dict) or not users:
        raise AccountsError("credentials have no users: add a table [users.<id>]")
    return Accounts(account for user, entry in users.items() for account in _parse_user(user, entry))


def _parse_user(user: str, entry: Any) -> Iterable[Account]:
    if not isinstance(entry, Mapping):
        raise AccountsError(f"credentials of user {user!r}: expected a table [users.{user}]")
    extra_keys = entry.get("extra_keys", [])
    if not isinstance(extra_keys, list) or not all(isinstance(extra, Mapping) for extra in extra_keys):
        raise AccountsError(f"credentials of user {user!r}: extra_keys must be tables [[users.{user}.extra_keys]]")
    for fields in (entry, *extra_keys):
        try:
            yield msgspec.convert({**fields, "user": user}, Account)
        except msgspec.ValidationError as error:
            raise AccountsError(f"credentials of user {user!r}: {error}") from error
