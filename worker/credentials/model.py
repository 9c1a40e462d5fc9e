"""The type `Credentials`, its validation, and the interfaces of its sources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from worker.errors import CredentialsError
from worker.secret import Secret

SECRET_FIELDS = ("api_key", "secret_key", "passphrase")

MAX_SECRET_CHARS = 1024
"""Real secrets have fewer than a hundred characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One API key of a user. It is read just before a request is sent, and is in no job, result or log line.

    Attributes:
        user_id: the user ID at the exchange.
        api_key: sent in clear in the header ACCESS-KEY.
        secret_key: signs requests; never sent.
        passphrase: chosen when the key was created; sent in the header ACCESS-PASSPHRASE.
        demo: whether the key belongs to demo trading.
    """

    user_id: str
    api_key: Secret
    secret_key: Secret
    passphrase: Secret
    demo: bool = False

    @property
    def fingerprint(self) -> str:
        """A hash of the credentials, 16 hexadecimal digits. It does not reveal them."""
        digest = hashlib.blake2b(digest_size=8, person=b"copytrade-keys")
        for secret in (self.api_key, self.secret_key, self.passphrase):
            part = secret.reveal().encode()
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update(bytes([self.demo]))
        return digest.hexdigest()


class CredentialStore(Protocol):
    """A source of credentials."""

    async def get(self, user_id: str) -> Credentials:
        """Return the current credentials of a user.

        Raises:
            UnknownUser: the source has none for this user.
            CredentialsUnavailable: the source cannot answer now.
        """
        ...


@runtime_checkable
class Invalidatable(Protocol):
    """A source that caches credentials."""

    def invalidate(self, user_id: str) -> None:
        """Make the next `get` of this user read the credentials again."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A source that knows whether it can be read."""

    def source_ok(self) -> bool:
        """Return False while the source as a whole cannot be read, whatever is still known of earlier readings."""
        ...


def read_credentials(user_id: str, fields: Mapping[str, Any], where: str) -> Credentials:
    """Validate the fields of a user's credentials and return them. Other fields are ignored.

    Args:
        user_id: the user.
        fields: `api_key`, `secret_key`, `passphrase` and, optionally, `demo`.
        where: where the fields were read, such as "line 3"; error messages begin with it.

    Raises:
        CredentialsError: a field is missing or invalid; the message names it and never contains its value.
    """
    api_key, secret_key, passphrase = (_secret(fields, field, where) for field in SECRET_FIELDS)
    demo = fields.get("demo", False)
    if not isinstance(demo, bool):
        raise CredentialsError(f"{where}: demo must be true or false, without quotes")
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def _secret(fields: Mapping[str, Any], field: str, where: str) -> Secret:
    """Return a field as a `Secret`. Its characters are restricted, because others could inject HTTP headers."""
    text = fields.get(field)
    if not isinstance(text, str) or not text:
        raise CredentialsError(f"{where}: {field} is missing or empty; give it as a string")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise CredentialsError(f"{where}: {field} must be printable ASCII without spaces around it")
    if len(text) > MAX_SECRET_CHARS:
        raise CredentialsError(f"{where}: {field} must have at most {MAX_SECRET_CHARS} characters")
    return Secret(text)
