"""Credentials as an operator hands them in: bytes in, credentials out. What is wrong is told by line and field, never
by a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from producers.contract.validation import check_id
from producers.errors import InvalidId
from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.errors import CredentialsError

MOST_BYTES = 16_384
"""Of one user. Real ones have fewer than three hundred."""

FORMS = (
    "three lines (API key, secret key, passphrase)"
    ' or a JSON object {"apiKey": "...", "secretKey": "...", "passphrase": "..."}'
)

_FIELDS = {name.replace("_", ""): name for name in (*SECRET_FIELDS, "demo", "user_id")}
"""Names as they are compared, so that apiKey and api_key are one."""

_NAMES = "userId, apiKey, secretKey, passphrase and demo"


def one_user(user_id: str, text: bytes, *, demo: bool) -> Credentials:
    """The credentials of one user.

    Args:
        user_id: whose they are.
        text: three lines, or a JSON object.
        demo: whether they are of demo trading; the object may say so too.

    Raises:
        CredentialsError: they are neither, or a field is wrong.
    """
    if len(text) > MOST_BYTES:
        raise CredentialsError(f"standard input has more than {MOST_BYTES} bytes; give {FORMS}")
    if text.lstrip().startswith(b"{"):
        fields = _fields(text, "standard input")
        if fields.setdefault("user_id", user_id) != user_id:
            raise CredentialsError(f"standard input: it is of another user than {user_id!r}")
    else:
        lines = text.decode(errors="replace").splitlines()
        if len(lines) != len(SECRET_FIELDS):
            raise CredentialsError(f"standard input has {len(lines)} lines; give {FORMS}")
        fields = dict(zip(SECRET_FIELDS, lines, strict=True))
    found = read_credentials(user_id, fields, "standard input")
    return replace(found, demo=True) if demo else found


def many_users(lines: Iterable[bytes]) -> tuple[list[Credentials], list[str]]:
    """The credentials of many users, a JSON object a line with `userId`; empty lines are skipped.

    Returns:
        The credentials, and what is wrong, each beginning with its line.
    """
    users: dict[str, Credentials] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            user = _line(line, f"line {number}")
        except CredentialsError as exc:
            faults.append(str(exc))
            continue
        if user.user_id in users:
            faults.append(f"line {number}: user {user.user_id!r} is on a line before it too; keep one of them")
        users[user.user_id] = user
    return list(users.values()), faults


def user_credentials(user_id: str, secrets: Iterable[str], *, demo: bool) -> Credentials:
    """The credentials of one user from the texts that were typed, in the order of `SECRET_FIELDS`.

    Raises:
        CredentialsError: a text cannot be what it should.
    """
    return read_credentials(user_id, dict(zip(SECRET_FIELDS, secrets, strict=True)) | {"demo": demo}, "typed in")


def _line(line: bytes, where: str) -> Credentials:
    if len(line) > MOST_BYTES:
        raise CredentialsError(f"{where}: longer than {MOST_BYTES} bytes")
    fields = _fields(line, where)
    return read_credentials(_user_id(fields.get("user_id"), where), fields, where)


def _fields(text: bytes, where: str) -> dict[str, Any]:
    """The fields of a JSON object, by our names of them."""
    try:
        given = msgspec.json.decode(text, type=dict[str, str | bool | float | None])
    except (msgspec.DecodeError, UnicodeDecodeError):
        given = None
    if given is None:
        raise CredentialsError(f"{where}: not a JSON object; give {FORMS}")
    fields = {_FIELDS.get(name.replace("_", "").lower(), ""): value for name, value in given.items()}
    if "" in fields or len(fields) != len(given):
        # Not named: whoever mixes up names and values would be shown a value.
        raise CredentialsError(f"{where}: a field that is unknown or given twice; the fields are {_NAMES}")
    return fields


def _user_id(value: object, where: str) -> str:
    try:
        return check_id("userId", value)
    except InvalidId:
        pass
    raise CredentialsError(f"{where}: userId must be a string of 1 to 128 printable ASCII characters without spaces")
