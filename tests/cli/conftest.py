"""Fixtures of the command line: a server, and the files that people hand in."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from producers.cli import root
from tests.support.copytrade import Copytrade
from tests.support.followers_files import SETTINGS
from tests.support.sealed_keys import NEW, OLD


def _run_in_thread(work: Coroutine[Any, Any, Any], run: Callable[..., Any] = asyncio.run) -> Any:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(run, work).result()


@pytest.fixture(autouse=True)
def _traceable_event_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs event loops in threads while coverage is measured.

    Before Python 3.12, a cancellation that redis-py raises in a coroutine stops the tracing of the frames below it.
    """
    if sys.gettrace() is not None and sys.version_info < (3, 12):
        monkeypatch.setattr(asyncio, "run", _run_in_thread)


@pytest.fixture
def copytrade(valkey_dsn: str) -> Copytrade:
    """The command line on an empty server."""
    return Copytrade(valkey_dsn)


@pytest.fixture
def settings_file(tmp_path: Path) -> str:
    """Everything that a change needs beside its user, as a file."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(dict(SETTINGS)), encoding="utf-8")
    return str(path)


@pytest.fixture
def followers_csv(tmp_path: Path) -> Callable[..., str]:
    """Writes a CSV of followers when called; returns its path."""

    def write(*rows: str, header: str = "user_id") -> str:
        path = tmp_path / "followers.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def credentials_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the `credentials` command, as an installed package does, and a key ring of one key."""
    point = EntryPoint("credentials", "worker.credentials.command:credentials", root.COMMANDS_GROUP)
    monkeypatch.setattr(root, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", OLD)


@pytest.fixture
def new_ring(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts a new key before the old one when called."""
    return lambda: monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", f"{NEW},{OLD}")
