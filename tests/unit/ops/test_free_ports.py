"""The ports of servers that tests start."""

from __future__ import annotations

import socket

import pytest

from ops.redis_server import PORTS, free_port


def test_a_free_port_is_returned_once() -> None:
    """A cluster asks for the ports of all its nodes before the first of them starts."""
    ports = [free_port() for _ in range(100)]

    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(PORTS)


def test_a_port_in_use_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another is."""
    used, free = free_port(), free_port()
    drawn = iter((used, free))
    monkeypatch.setattr("ops.redis_server._returned", set())
    monkeypatch.setattr("ops.redis_server.secrets.choice", lambda _: next(drawn))
    with socket.create_server(("127.0.0.1", used)):
        assert free_port() == free
