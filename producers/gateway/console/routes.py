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
    of_unexpected_error,
    on_http_error,
)
from producers.gateway.calls.service import AnyRequest
from producers.gateway.calls.streams import EVENTS
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
    trader,
    user,
)
from producers.gateway.console.destinations import FIRST_PAGE, asked_page, lead_on
from producers.gateway.console.live import RELOAD
from producers.gateway.console.rendering import link, render
from producers.gateway.console.sessions import SignInRequired, require_session

_HTTP_ERRORS = {
    HTTPStatus.NOT_FOUND: "There is no page at this address. Check it, or search for a user, a change or a batch.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address takes what a button of another page sends, and shows nothing itself.",
}

_TITLES = {HTTPStatus.NOT_FOUND: "Not found", HTTPStatus.UNPROCESSABLE_ENTITY: "Invalid input"}
"""Of problems whose own titles are those of calls of the API."""


def _page_of(request: AnyRequest, problem: Problem, message: str | None = None) -> Response[Any]:
    """Return a problem as a page. It leads back to the form that was sent, or again to what cannot be shown now."""
    status = HTTPStatus(problem.status)
    label = None
    if request.method == "POST" and "referer" in request.headers:
        label = "Back"
    elif request.method != "POST" and status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        label = "Try again"
    values = {
        "title": _TITLES.get(status, problem.title),
        "message": message or problem.detail,
        "label": label,
        "address": None if label is None else link(request, asked_page(request)),
    }
    return render(request, "error.html", values, status)


def _on_sign_in_required(request: AnyRequest, error: SignInRequired) -> Response[Any]:
    if request.route_handler.opt.get("stream"):
        return Response(RELOAD, media_type=EVENTS)
    if not request.headers.get("accept", "").startswith("text/html"):
        return _page_of(request, of_gateway_error(error))
    page = asked_page(request)
    if request.headers.get("sec-fetch-site") == "cross-site":
        return lead_on(request, page, "One moment")
    address = link(request, "/sign-in", next=None if page == FIRST_PAGE else page)
    return Redirect(address, status_code=HTTPStatus.SEE_OTHER.value)


def _on_gateway_error(request: AnyRequest, error: GatewayError) -> Response[Any]:
    return _page_of(request, of_gateway_error(error))


def _on_producer_error(request: AnyRequest, error: ProducerError) -> Response[Any]:
    advice = "Send the form again: what was done is not done twice." if request.method == "POST" else "Try again later."
    return _page_of(request, of_producer_error(error, advice))


def _on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
    problem = of_http_error(error)
    return _page_of(request, problem, _HTTP_ERRORS.get(HTTPStatus(problem.status)))


def _on_unexpected_error(request: AnyRequest, error: Exception) -> Response[Any]:
    return _page_of(request, of_unexpected_error(request, error))


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
    Exception: _on_unexpected_error,
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
        *trader.ROUTES,
        *user.ROUTES,
        *change.ROUTES,
        *search.ROUTES,
    ],
    before_request=require_session,
    exception_handlers=ERROR_HANDLERS,
)
"""The pages, under the gateway's root."""
