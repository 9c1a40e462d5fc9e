"""The HTTP server of the gateway: uvicorn with the gateway's limits."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from litestar import Litestar
from uvicorn.config import STARTUP_FAILURE

from producers.gateway.calls.events import Event
from producers.gateway.serving.protocol import KEEP_ALIVE_S, Connections, GatewayProtocol
from producers.logs import log_fields
from producers.open_files import raise_limit
from producers.service_manager import ServiceManager

GRACE_S = 5
"""How long open calls may take when the gateway is stopped; event streams end."""

BACKLOG = 2048
"""Connections that the system keeps until they are accepted, as uvicorn's default."""

OTHER_FILES = 256
"""Open files besides connections of callers: connections to Redis, bodies of rows, the interpreter's own."""

TICKS_A_CHECK = 10
"""uvicorn ticks ten times a second."""

log = logging.getLogger(__name__)


class GatewayServer(uvicorn.Server):
    """A server that ends connections whose peers let it wait."""

    def __init__(self, config: uvicorn.Config, connections: int) -> None:
        super().__init__(config)
        self._manager = ServiceManager.from_env()
        self.server_state: Connections = Connections(connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, and tell the service manager."""
        await super().startup(sockets)
        if self.started:
            self._manager.ready()
            self._manager.keep_alive(asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the service manager, and end all calls."""
        self._manager.stopping()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Look at all connections once a second."""
        if counter % TICKS_A_CHECK == 0:
            now_s = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GatewayProtocol):
                    connection.check(now_s)
        return await super().on_tick(counter)


def server(
    app: Any, *, connections: int, host: str = "127.0.0.1", port: int = 0, root_path: str = "", **options: Any
) -> GatewayServer:
    """Return a server of an application.

    Args:
        app: the gateway, or an application that mounts it.
        connections: how many calls it serves at once.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        root_path: the path at which a proxy serves the gateway.
        options: further options of uvicorn.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        root_path=root_path.rstrip("/"),
        http=GatewayProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a caller could write them, too
        timeout_keep_alive=int(KEEP_ALIVE_S),
        **({"timeout_graceful_shutdown": GRACE_S} | options),
    )
    return GatewayServer(config, connections)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; its port is a free one for 0.

    Raises:
        OSError: another program listens there, or this machine does not have the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def run(
    app: Litestar, listening: socket.socket, *, connections: int, root_path: str, certfile: Path | None,
    keyfile: Path | None,
) -> None:  # fmt: skip
    """Serve an application until the process is told to stop.

    Args:
        app: the gateway.
        listening: the socket of its address.
        connections: how many calls it serves at once.
        root_path: the path at which a proxy serves the gateway.
        certfile: the TLS certificate; None to serve without TLS.
        keyfile: its key.
    """
    serving = server(
        app, connections=_max_connections(connections), root_path=root_path, ssl_certfile=certfile, ssl_keyfile=keyfile
    )
    try:
        serving.run(sockets=[listening])
    except KeyboardInterrupt:
        return  # uvicorn raises the signal again when it has stopped
    if not serving.started:
        sys.exit(STARTUP_FAILURE)


def _max_connections(wanted: int) -> int:
    """Raise the limit of open files as far as it is needed and permitted; return how many connections it allows."""
    needed = wanted + OTHER_FILES
    allowed = raise_limit(needed)
    if allowed < needed:
        text = "the limit of open files, %d, allows %d connections: raise it (ulimit -n)"
        log.warning(text, allowed, allowed // 2, extra=log_fields(Event.FEW_FILES))
        return allowed // 2
    return wanted
