"""Parsing of credentials that an operator types or pipes. Errors name the line and the field, never a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from producers.contract.validation import check_id
from producers.contract.wording import plural
from producers.errors import InvalidId
from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.errors import CredentialsError

MAX_USER_BYTES = 16_384
"""Limit for one user. Real credentials take fewer than 300 bytes."""

FORMATS = (
    "three lines (API key, secret key, passphrase)"
    ' or a JSON object {"apiKey": "...", "secretKey": "...", "passphrase": "..."}'
)

_FIELDS = {name.replace("_", ""): name for name in (*SECRET_FIELDS, "demo", "user_id")}
"""Python names of the fields by their names in lower case without `_`: apiKey and api_key are the same field."""

_NAMES = "userId, apiKey, secretKey, passphrase and demo"


def parse_user(user_id: str, text: bytes, *, demo: bool) -> Credentials:
    """Return the credentials of one user.

    Args:
        user_id: the user.
        text: three lines, or a JSON object.
        demo: whether they belong to demo trading; the field `demo` of an object can set this too.

    Raises:
        CredentialsError: the text is neither, or a field is invalid.
    """
    if len(text) > MAX_USER_BYTES:
        raise CredentialsError(f"standard input has more than {MAX_USER_BYTES} bytes; give {FORMATS}")
    if text.lstrip().startswith(b"{"):
        fields = _fields(text, "standard input")
        if fields.setdefault("user_id", user_id) != user_id:
            raise CredentialsError(f"standard input: it is for another user than {user_id!r}")
    else:
        lines = text.decode(errors="replace").splitlines()
        if len(lines) != len(SECRET_FIELDS):
            raise CredentialsError(f"standard input has {plural(len(lines), 'line')}; give {FORMATS}")
        fields = dict(zip(SECRET_FIELDS, lines, strict=True))
    credentials = read_credentials(user_id, fields, "standard input")
    return replace(credentials, demo=True) if demo else credentials


def parse_users(lines: Iterable[bytes]) -> tuple[list[Credentials], list[str]]:
    """Return the credentials of many users, one JSON object with a `userId` per line; blank lines are skipped.

    Returns:
        The credentials, and the errors, each beginning with its line number.
    """
    users: dict[str, Credentials] = {}
    first_lines: dict[str, int] = {}
    errors = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            user = _parse_line(line, f"line {number}")
        except CredentialsError as exc:
            errors.append(str(exc))
            continue
        first = first_lines.setdefault(user.user_id, number)
        if first != number:
            errors.append(f"line {number}: duplicate user {user.user_id!r}; first on line {first}")
        users[user.user_id] = user
    return list(users.values()), errors


def _parse_line(line: bytes, where: str) -> Credentials:
    if len(line) > MAX_USER_BYTES:
        raise CredentialsError(f"{where}: longer than {MAX_USER_BYTES} bytes")
    fields = _fields(line, where)
    return read_credentials(_user_id(fields.get("user_id"), where), fields, where)


def _fields(text: bytes, where: str) -> dict[str, Any]:
    """Return the fields of a JSON object by their Python names."""
    try:
        decoded = msgspec.json.decode(text, type=dict[str, str | bool | float | None])
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = None
    if decoded is None:
        raise CredentialsError(f"{where}: not a JSON object; give {FORMATS}")
    fields = {_FIELDS.get(name.replace("_", "").lower(), ""): value for name, value in decoded.items()}
    if "" in fields or len(fields) != len(decoded):
        # The name is not shown: it is a secret if the operator has swapped names and values.
        raise CredentialsError(f"{where}: a field is unknown or repeated; the fields are {_NAMES}")
    return fields


def _user_id(value: object, where: str) -> str:
    try:
        return check_id("userId", value)
    except InvalidId:
        pass
    raise CredentialsError(f"{where}: userId must be a string of 1 to 128 printable ASCII characters without spaces")
