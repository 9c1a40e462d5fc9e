"""Who looks at the console: a browser that signed in with an access key, or with the link that `serve` prints."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.params import QueryParameter
from litestar.response import Redirect

from producers.contract.access_keys import AccessKey, Scope
from producers.gateway.calls.problems import NotAuthenticated, NotPermitted
from producers.gateway.calls.service import LOCAL, AnyRequest, admit, gateway_of, require_scope
from producers.gateway.console.cookies import Kind, ended_cookie, new_cookie, read_cookie
from producers.gateway.console.forms import read_form
from producers.gateway.console.rendering import link, render
from producers.gateway.serving.call_checks import is_cross_origin
from producers.gateway.settings import is_loopback

MAX_TOKEN_CHARS = 100

Token = Annotated[str | None, QueryParameter(name="token")]


class SignInRequired(NotAuthenticated):
    """The browser is not signed in, or not any more."""


async def require_session(request: AnyRequest) -> None:
    """Admit a call of a page, before its body is read.

    Raises:
        SignInRequired: the browser is not signed in.
        NotPermitted: its key has not the scope of the page, or another site sent the form.
    """
    scope: Scope | None = request.route_handler.opt.get("page")
    if scope is None:
        return
    if request.method == "POST":
        _refuse_other_origins(request)
    key = await key_of_browser(request)
    require_scope(gateway_of(request).settings, key, scope)
    admit(request, key)


def _refuse_other_origins(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    headers = connection.headers
    if is_cross_origin(headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host")):
        raise NotPermitted("this form was sent from another site; open the console and send it from there")


async def key_of_browser(connection: ASGIConnection[Any, Any, Any, Any]) -> AccessKey:
    """Return the access key with which a browser is signed in.

    Raises:
        SignInRequired: it is not.
    """
    gateway = gateway_of(connection)
    client = connection.client.host if connection.client else None
    if not gateway.settings.gateway_auth:
        return await gateway.authenticate(None, client)
    token = read_cookie(connection, Kind.SESSION)
    if not token or len(token) > MAX_TOKEN_CHARS:
        raise SignInRequired("sign in with an access key")
    key = await gateway.session_key(token)
    if key is None or (key is LOCAL and not (client is None or is_loopback(client))):
        raise SignInRequired("the session has ended, or its access key was revoked; sign in again")
    return key


@get("/sign-in", include_in_schema=False)
async def sign_in_page(request: AnyRequest, token: Token = None) -> Response[Any]:
    """Show the form; with the token of the link that `serve` prints, sign in with it."""
    admit(request, LOCAL)
    if token is None:
        return render(request, "sign_in.html", _values(None))
    if not gateway_of(request).use_sign_in_token(token):
        error = "this link was used before, or is of an earlier start; sign in with an access key"
        return render(request, "sign_in.html", _values(error), HTTPStatus.UNAUTHORIZED)
    return await _signed_in(request, LOCAL.key_id)


@post("/sign-in", include_in_schema=False)
async def sign_in(request: AnyRequest) -> Response[Any]:
    """Sign in with an access key."""
    _refuse_other_origins(request)
    form = await read_form(request)
    client = request.client.host if request.client else None
    try:
        key = await gateway_of(request).authenticate(f"Bearer {form.get('key', '').strip()}", client)
    except NotAuthenticated as exc:
        admit(request, LOCAL)
        return render(request, "sign_in.html", _values(str(exc)), HTTPStatus.UNAUTHORIZED)
    return await _signed_in(request, key.key_id)


@post("/sign-out", include_in_schema=False, status_code=HTTPStatus.SEE_OTHER.value)
async def sign_out(request: AnyRequest) -> Redirect:
    """End the session."""
    _refuse_other_origins(request)
    token = read_cookie(request, Kind.SESSION)
    if token:
        await gateway_of(request).end_session(token)
    cookie = ended_cookie(request, Kind.SESSION)
    return Redirect(link(request, "/sign-in"), status_code=HTTPStatus.SEE_OTHER.value, cookies=[cookie])


def _values(error: str | None) -> dict[str, Any]:
    return {"title": "Sign in", "error": error, "is_signed_in": False}


async def _signed_in(request: AnyRequest, key_id: str) -> Redirect:
    """Return to the first page, with the cookie of a new session."""
    token = await gateway_of(request).producer.access_keys.open_session(key_id)
    cookie = new_cookie(request, Kind.SESSION, token)
    return Redirect(link(request, "/"), status_code=HTTPStatus.SEE_OTHER.value, cookies=[cookie])


ROUTES = [sign_in_page, sign_in, sign_out]
