"""Fixtures of the command line: a server, and the files that people hand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from producers.cli import root
from tests.support.copytrade import Copytrade
from tests.support.followers_files import SETTINGS
from tests.support.sealed_keys import NEW, OLD


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
