"""A stack of real processes on a real server, and programs that are other processes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ops.stack import Stack, User, write_credentials

USERS = tuple(str(number) for number in range(1001, 1041))
WITHIN_S = 60.0
"""How long anything here may take: far longer than it does, and no assertion."""

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    """Where the workers' log goes."""
    return tmp_path / "workers.log"


@pytest.fixture
async def stack(valkey_dsn: str, tmp_path: Path, log_path: Path) -> AsyncIterator[Stack]:
    """A double and credentials for forty users; workers are started by the test, and stopped in any case."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with Stack(valkey_dsn, credentials, credentials, log_path=log_path) as stack:
        yield stack


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a process of its own, as another app would; returns what it printed."""

    async def run_program(text: str, *arguments: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        root = str(Path(__file__).parents[2])
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(path), *arguments, stdout=PIPE, stderr=PIPE, env={"PYTHONPATH": root}
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    return run_program
