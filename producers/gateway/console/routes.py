"""The routes of the console: who may see them, and how errors are shown."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Response, Router
from litestar.exceptions import HTTPException
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from producers.errors import ProducerError
from producers.gateway.calls.problem_document import Problem
from producers.gateway.calls.problems import (
    GatewayError,
    of_gateway_error,
    of_http_error,
    of_producer_error,
    on_http_error,
)
from producers.gateway.calls.service import LOCAL, AnyRequest, admit
from producers.gateway.console import (
    assets,
    batch,
    batches,
    change,
    letters,
    overview,
    pauses,
    search,
    sessions,
    user,
)
from producers.gateway.console.rendering import link, render
from producers.gateway.console.sessions import SignInRequired, require_session


def _page_of(request: AnyRequest, problem: Problem) -> Response[Any]:
    """Return a problem as a page, which has no navigation of somebody else's."""
    admit(request, LOCAL)
    values = {"title": problem.title, "message": problem.detail, "is_signed_in": False}
    return render(request, "error.html", values, HTTPStatus(problem.status))


def _on_sign_in_required(request: AnyRequest, error: SignInRequired) -> Response[Any]:
    if request.headers.get("accept", "").startswith("text/html") and "hx-request" not in request.headers:
        return Redirect(link(request, "/sign-in"), status_code=HTTPStatus.SEE_OTHER.value)
    return _page_of(request, of_gateway_error(error))


def _on_gateway_error(request: AnyRequest, error: GatewayError) -> Response[Any]:
    return _page_of(request, of_gateway_error(error))


def _on_producer_error(request: AnyRequest, error: ProducerError) -> Response[Any]:
    return _page_of(request, of_producer_error(error))


def _on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
    return _page_of(request, of_http_error(error))


def on_unrouted(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """Answer with an error that the framework found outside of the console: a browser gets a page."""
    is_api = request.url.path.startswith(link(request, "/v1/"))
    if is_api or not request.headers.get("accept", "").startswith("text/html"):
        return on_http_error(request, error)
    return _on_http_error(request, error)


ERROR_HANDLERS: ExceptionHandlersMap = {
    SignInRequired: _on_sign_in_required,
    GatewayError: _on_gateway_error,
    ProducerError: _on_producer_error,
    HTTPException: _on_http_error,
}

console = Router(
    "/",
    route_handlers=[
        *assets.ROUTES,
        *sessions.ROUTES,
        *overview.ROUTES,
        *pauses.ROUTES,
        *batches.ROUTES,
        *batch.ROUTES,
        *letters.ROUTES,
        *user.ROUTES,
        *change.ROUTES,
        *search.ROUTES,
    ],
    before_request=require_session,
    exception_handlers=ERROR_HANDLERS,
)
"""The pages, under the gateway's root."""
