"""The ASGI application: routes, errors, access and limits put together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Router, get
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import ExceptionHandlersMap

from producers.errors import ProducerError
from producers.gateway import batches, changes, fan_outs, letters, openapi, operating, results
from producers.gateway.audit import OutageLog, log
from producers.gateway.events import Event
from producers.gateway.problems import (
    GatewayError,
    on_gateway_error,
    on_http_error,
    on_producer_error,
    on_unexpected_error,
)
from producers.gateway.service import Gateway, attach, authorize
from producers.gateway.settings import GatewaySettings
from producers.logs import log_fields

API_VERSION = "1.0"

ERROR_HANDLERS: ExceptionHandlersMap = {
    ProducerError: on_producer_error,
    GatewayError: on_gateway_error,
    HTTPException: on_http_error,
    Exception: on_unexpected_error,
}


@get("/livez", include_in_schema=False)
async def livez() -> dict[str, str]:
    """Answer that this process serves, whether or not Redis is there."""
    return {"status": "ok"}


def create_app(settings: GatewaySettings | None = None) -> Litestar:
    """Return the gateway as an ASGI application, which may be mounted in another one.

    Args:
        settings: by default read from the environment.

    Raises:
        SettingsError: a variable of the environment is invalid.
    """
    settings = settings or GatewaySettings.from_env()
    gateway = Gateway(settings)
    state = State()
    attach(state, gateway)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        log.info("the gateway takes calls", extra=log_fields(Event.SERVING))
        yield
        await gateway.close()
        log.info("the gateway has stopped", extra=log_fields(Event.STOPPED))

    return Litestar(
        [
            livez,
            Router(
                "/v1",
                route_handlers=[
                    *changes.ROUTES,
                    *fan_outs.ROUTES,
                    *batches.ROUTES,
                    *results.ROUTES,
                    *operating.ROUTES,
                    *letters.ROUTES,
                    *openapi.ROUTES,
                ],
            ),
        ],
        guards=[authorize],
        exception_handlers=ERROR_HANDLERS,
        after_exception=[OutageLog(time.monotonic)],
        lifespan=[lifespan],
        state=state,
        allowed_hosts=AllowedHostsConfig(allowed_hosts=settings.hosts) if settings.hosts else None,
        openapi_config=OpenAPIConfig(
            title="Copy-trade settings queue",
            version=API_VERSION,
            use_handler_docstrings=True,
            operation_id_creator=lambda handler, _, __: handler.handler_name,
            render_plugins=[],
        ),
        logging_config=None,
        request_max_body_size=None,
    )
