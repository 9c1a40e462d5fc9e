"""The HTTP server of the gateway: uvicorn with the gateway's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvicorn
from litestar import Litestar

KEEP_ALIVE_S = 30
GRACE_S = 5
"""How long open calls may take when the gateway is stopped; event streams end."""

MAX_CONNECTIONS = 5000


def run(
    app: Litestar, *, host: str, port: int, root_path: str = "", certfile: Path | None = None,
    keyfile: Path | None = None,
) -> None:  # fmt: skip
    """Serve an application until the process is told to stop.

    Args:
        app: the gateway.
        host: the address to listen on.
        port: the port to listen on.
        root_path: the path at which a proxy serves the gateway.
        certfile: the TLS certificate; None to serve without TLS.
        keyfile: its key.
    """
    options: dict[str, Any] = {"ssl_certfile": certfile, "ssl_keyfile": keyfile}
    uvicorn.run(
        app,
        host=host,
        port=port,
        root_path=root_path.rstrip("/"),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a caller could write them, too
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        **options,
    )
