"""Fixtures of the command line: a server, and the files that people hand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.copytrade import Copytrade
from tests.support.followers_files import SETTINGS


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
    """Writes a CSV of followers; returns its path."""

    def write(*rows: str, header: str = "user_id") -> str:
        path = tmp_path / "followers.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return str(path)

    return write
