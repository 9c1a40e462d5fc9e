"""Unit tests start no process and connect to no server; one that tries fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

FORBIDDEN_EVENTS = frozenset({"os.fork", "os.posix_spawn", "os.system", "socket.connect", "subprocess.Popen"})
"""Audit events of the interpreter: https://docs.python.org/3/library/audit_events.html"""

_running: list[str] = []
"""The ID of the unit test that runs now. An audit hook cannot be removed, so this turns it on and off."""


def _fail_on_forbidden_event(event: str, _args: object) -> None:
    if _running and event in FORBIDDEN_EVENTS:
        pytest.fail(f"{_running[-1]} is a unit test, but raised {event}; move it to tests/integration")


sys.addaudithook(_fail_on_forbidden_event)


@pytest.fixture(autouse=True)
def _neither_processes_nor_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it starts a process or connects to a server."""
    _running.append(request.node.nodeid)
    yield
    _running.pop()
