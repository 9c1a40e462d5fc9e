"""The HTTP gateway: the queue for programs in any language, as an ASGI application over the same client.

    from producers.gateway import create_app
    app = create_app()          # with the environment's settings; uvicorn producers.gateway:app is the same

It needs the extra `gateway`. `copytrade serve` runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producers.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from litestar import Litestar

    from producers.gateway.app import create_app

    app: Litestar

__all__ = ["GatewaySettings", "app", "create_app"]


def __getattr__(name: str) -> Any:
    """Import the application when it is asked for: the commands are listed without the extra, too."""
    if name not in ("app", "create_app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from producers.gateway.app import create_app as create  # noqa: PLC0415

    found = create() if name == "app" else create
    globals()[name] = found
    return found
