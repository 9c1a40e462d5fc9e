"""Fixtures of the acceptance tests: a stack of real processes on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ops.stack import Stack, User, write_credentials
from tests.support.programs import run_program

USERS = tuple(str(number) for number in range(1001, 1041))
WITHIN_S = 60.0
"""Time limit of each wait, seconds: far more than any of them takes."""

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    """The file of the workers' log."""
    return tmp_path / "workers.log"


@pytest.fixture
async def stack(valkey_dsn: str, tmp_path: Path, log_path: Path) -> AsyncIterator[Stack]:
    """A double and credentials for forty users. The test starts workers, which are stopped in any case."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with Stack(valkey_dsn, credentials, credentials, log_path=log_path) as stack:
        yield stack


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program's text in a process of its own; returns what it printed."""

    async def run_text(text: str, *arguments: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        return await run_program(path, *arguments)

    return run_text
