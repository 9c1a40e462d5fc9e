"""Input of users' API keys: prompts without echo on a terminal, otherwise standard input.

Arguments and environment variables are not supported, because other processes can see them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from producers.contract.wording import plural
from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.credentials.parsing import MAX_USER_BYTES, parse_user, parse_users
from worker.errors import CredentialsError

MAX_LINES = 100_000
MAX_ERRORS_SHOWN = 20

PROMPTS = ("API key", "Secret key", "Passphrase")


def is_interactive() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin.isatty()


def read_user(user_id: str, *, demo: bool) -> Credentials:
    """Return one user's credentials: prompt for them on a terminal, else read standard input.

    Raises:
        CredentialsError: they are invalid.
    """
    if not is_interactive():
        return parse_user(user_id, sys.stdin.buffer.read(MAX_USER_BYTES + 1), demo=demo)
    typed = [click.prompt(f"{name} of user {user_id}", hide_input=True, err=True) for name in PROMPTS]
    return read_credentials(user_id, {**dict(zip(SECRET_FIELDS, typed, strict=True)), "demo": demo}, "typed in")


def read_users() -> list[Credentials]:
    """Return many users' credentials from standard input, one JSON object per line.

    Raises:
        CredentialsError: a line is invalid, or there is none; the message lists the invalid lines.
    """
    users, errors = parse_users(_lines())
    if errors:
        more = len(errors) - MAX_ERRORS_SHOWN
        listed = [*errors[:MAX_ERRORS_SHOWN], *([f"and {plural(more, 'more invalid line')}"] if more > 0 else [])]
        raise CredentialsError(f"nothing was set: {'; '.join(listed)}")
    if not users:
        raise CredentialsError("standard input is empty; give one JSON object per line")
    return users


def _lines() -> Iterator[bytes]:
    """Yield the lines of standard input. Cut long ones, but leave them longer than `parse_users` accepts."""
    stream = sys.stdin.buffer
    for _ in range(MAX_LINES):
        line = rest = stream.readline(MAX_USER_BYTES + 2)
        while len(rest) > MAX_USER_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_USER_BYTES + 2)
        if not line:
            return
        yield line
    if stream.readline(1):
        raise CredentialsError(f"standard input has more than {MAX_LINES:,} lines; split them up")
