"""Asking an operator for users' API keys: typed without being shown, or from standard input. Never from arguments or
variables, where other processes could see them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from producers.cli.input.row_errors import BadInput
from producers.cli.text import format_count
from worker.credentials.model import Credentials
from worker.credentials.parsing import MOST_BYTES, many_users, one_user, user_credentials

MOST_LINES = 100_000
MOST_SHOWN = 20

PROMPTS = ("API key", "Secret key", "Passphrase")


def somebody_types() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin.isatty()


def one_given(user_id: str, *, demo: bool) -> Credentials:
    """One user's keys: typed where somebody can type, read elsewhere.

    Raises:
        CredentialsError: they cannot be used.
    """
    if somebody_types():
        typed = [click.prompt(f"{name} of user {user_id}", hide_input=True, err=True) for name in PROMPTS]
        return user_credentials(user_id, typed, demo=demo)
    return one_user(user_id, sys.stdin.buffer.read(MOST_BYTES + 1), demo=demo)


def many_given() -> list[Credentials]:
    """Many users' keys from standard input, a JSON object a line.

    Raises:
        BadInput: a line is wrong, or there is none; each wrong line is told with its number.
    """
    users, faults = many_users(_lines())
    if faults:
        shown = "; ".join(faults[:MOST_SHOWN])
        more = f"; and {format_count(len(faults) - MOST_SHOWN)} more bad lines" if len(faults) > MOST_SHOWN else ""
        raise BadInput(f"nothing was set: {shown}{more}")
    if not users:
        raise BadInput("standard input is empty; give a JSON object a line")
    return users


def _lines() -> Iterator[bytes]:
    """The lines of standard input; of one that is too long comes a beginning that is too long as well."""
    stream = sys.stdin.buffer
    for _ in range(MOST_LINES):
        line = rest = stream.readline(MOST_BYTES + 2)
        while len(rest) > MOST_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MOST_BYTES + 2)
        if not line:
            return
        yield line
    if stream.readline(1):
        raise BadInput(f"more than {MOST_LINES:,} lines; give them in parts")
