"""Who a user is at the exchange: API keys, in types that do not show them, and what a source of them offers.

Secrets are shown by nobody but `Secret.reveal`. They are read by the worker at the moment of sending and are in no job,
no result and no log line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from worker.errors import CredentialsError
from worker.secret import Secret

SECRET_FIELDS = ("api_key", "secret_key", "passphrase")

MOST_CHARS = 1024
"""Of a secret. Real ones have fewer than a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signs a user's requests. Two are equal if nothing in them has changed.

    Attributes:
        user_id: the user ID at the exchange.
        api_key: sent in clear in ACCESS-KEY.
        secret_key: signs; never sent.
        passphrase: chosen when the key was made; sent in ACCESS-PASSPHRASE.
        demo: whether the key belongs to demo trading.
    """

    user_id: str
    api_key: Secret
    secret_key: Secret
    passphrase: Secret
    demo: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when a key does; the keys cannot be found from them."""
        digest = hashlib.blake2b(digest_size=8, person=b"copytrade-keys")
        for secret in (self.api_key, self.secret_key, self.passphrase):
            part = secret.reveal().encode()
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update(bytes([self.demo]))
        return digest.hexdigest()


class CredentialStore(Protocol):
    """A source of credentials."""

    async def get(self, user_id: str) -> Credentials:
        """The credentials of a user, as they are now.

        Raises:
            UnknownUser: the source has none for this user.
            CredentialsUnavailable: the source cannot say just now.
        """
        ...


@runtime_checkable
class Invalidatable(Protocol):
    """A source that keeps what it read for a while, and can be told to look again."""

    def invalidate(self, user_id: str) -> None:
        """Makes the next `get` of this user see the credentials as they are then."""
        ...


def read_credentials(user_id: str, fields: Mapping[str, Any], where: str) -> Credentials:
    """Credentials from values of unknown types; fields that are none of theirs are ignored.

    Args:
        user_id: whose they are.
        fields: `api_key`, `secret_key`, `passphrase`, and `demo` if it is true.
        where: begins the message of an error.

    Raises:
        CredentialsError: a field is missing, or cannot be what it should; the message names it.
    """
    api_key, secret_key, passphrase = (_secret(fields, field, where) for field in SECRET_FIELDS)
    demo = fields.get("demo", False)
    if not isinstance(demo, bool):
        raise CredentialsError(f"{where}: demo must be true or false, without quotes")
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def _secret(fields: Mapping[str, Any], field: str, where: str) -> Secret:
    """A field that can stand in a header: anything else could add headers of its own."""
    text = fields.get(field)
    if not isinstance(text, str) or not text:
        raise CredentialsError(f"{where}: {field} is missing or empty; give it as a string")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise CredentialsError(f"{where}: {field} must be printable ASCII without spaces around it")
    if len(text) > MOST_CHARS:
        raise CredentialsError(f"{where}: {field} must have at most {MOST_CHARS} characters")
    return Secret(text)
