"""The ASGI application: routes, errors, access and limits put together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property, lru_cache
from typing import Any, cast

from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import QueryParameter
from litestar.types import (
    ExceptionHandlersMap,
    HTTPScope,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Receive,
    Scope,
    Send,
)

from producers.errors import ProducerError, abbreviated
from producers.gateway.api import (
    batches,
    bulk,
    changes,
    fan_outs,
    letters,
    monitoring,
    openapi,
    operating,
    pins,
    results,
)
from producers.gateway.calls.audit import OutageLog, log
from producers.gateway.calls.events import Event
from producers.gateway.calls.problems import (
    GatewayError,
    on_gateway_error,
    on_producer_error,
    on_unexpected_error,
)
from producers.gateway.calls.service import AnyRequest, Gateway, attach, authorize, gateway_in
from producers.gateway.console.routes import console, on_unrouted
from producers.gateway.console.sessions import recognise_browser
from producers.gateway.serving.call_checks import InvalidHead, call_refusal, own_path
from producers.gateway.settings import GatewaySettings
from producers.logs import log_fields
from producers.tracing import NO_PROVIDER, open_tracing

API_VERSION = "1.0"

ERROR_HANDLERS: ExceptionHandlersMap = {
    ProducerError: on_producer_error,
    GatewayError: on_gateway_error,
    HTTPException: on_unrouted,
    Exception: on_unexpected_error,
}


class Application(Litestar):
    """The gateway. It checks calls before they are routed, and is right under a prefix however that is passed on."""

    @cached_property
    def first_segments(self) -> frozenset[str]:
        """With what its paths begin."""
        return frozenset(route.path.split("/")[1] for route in self.routes)

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        """Serve a call, or the beginning and end of the process."""
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        gateway = gateway_in(self.state)
        settings = gateway.settings
        scope = cast("HTTPScope", scope).copy()
        send = gateway.times.timed(scope, cast("Send", send))
        scope["root_path"] = prefix = scope.get("root_path", "").rstrip("/")
        scope["path"] = prefix + own_path(scope["path"], prefix, self.first_segments)
        refusal = call_refusal(
            scope["method"], scope["query_string"], scope["headers"], settings.hosts, auth=settings.gateway_auth
        )
        if refusal is None:
            with open_tracing(settings).continued(scope["headers"]):
                await super().__call__(scope, receive, send)
            return
        request: Request[Any, Any, Any] = Request(scope)
        answer = on_gateway_error(request, refusal).to_asgi_response(None, request)
        await answer(scope, cast("Receive", receive), send)


async def admit_call(request: AnyRequest) -> None:
    """Admit a call of the API before its body is read: a hook, which costs a call less than Litestar's guards.

    Raises:
        GatewayError: its access key does not permit it, or a parameter is unknown: `?dryrun=true` must not enqueue.
    """
    await authorize(request)
    if not request.scope["query_string"]:
        return
    known = _parameters_of(request.route_handler)
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        there_are = f"there are {', '.join(sorted(known))}" if known else "this call has none"
        raise InvalidHead(f"there is no parameter {abbreviated(unknown)}; {there_are}")


@lru_cache
def _parameters_of(handler: BaseRouteHandler) -> frozenset[str]:
    found = (parameter.kwarg_definition for parameter in handler.parsed_fn_signature.parameters.values())
    return frozenset(str(marker.name) for marker in found if isinstance(marker, QueryParameter))


def create_app(settings: GatewaySettings | None = None, *, sign_in_token: str | None = None) -> Litestar:
    """Return the gateway as an ASGI application, which may be mounted in another one.

    Args:
        settings: by default read from the environment.
        sign_in_token: a token that signs a browser in to the console once.

    Raises:
        SettingsError: a variable of the environment is invalid.
    """
    settings = settings or GatewaySettings.from_env()
    gateway = Gateway(settings, sign_in_token)
    state = State()
    attach(state, gateway)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        log.info("the gateway takes calls", extra=log_fields(Event.SERVING))
        if open_tracing(settings).lacks_provider:
            log.warning("%s", NO_PROVIDER, extra=log_fields(Event.NO_TRACER_PROVIDER))
        yield
        await gateway.close()
        log.info("the gateway has stopped", extra=log_fields(Event.STOPPED))

    return Application(
        [
            *monitoring.ROUTES,
            Router(
                "/v1",
                before_request=admit_call,
                route_handlers=[
                    *changes.ROUTES,
                    *bulk.ROUTES,
                    *fan_outs.ROUTES,
                    *batches.ROUTES,
                    *results.ROUTES,
                    *operating.ROUTES,
                    *pins.ROUTES,
                    *letters.ROUTES,
                    *openapi.ROUTES,
                ],
            ),
            console,
        ],
        exception_handlers=ERROR_HANDLERS,
        after_exception=[OutageLog(time.monotonic), recognise_browser],
        lifespan=[lifespan],
        state=state,
        openapi_config=OpenAPIConfig(
            title="Copy-trade settings queue",
            version=API_VERSION,
            use_handler_docstrings=True,
            operation_id_creator=lambda handler, _, __: handler.handler_name,
            render_plugins=[JsonRenderPlugin()],  # without one, there are pages that load scripts of other hosts
        ),
        logging_config=None,
        request_max_body_size=None,
    )
