"""Who looks at the console: a browser that signed in with an access key, or with the link that `serve` prints."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter
from litestar.response import Redirect
from litestar.types import Scope as HttpScope

from producers.contract.access_keys import AccessKey, Scope
from producers.errors import ProducerError
from producers.gateway.calls.problems import GatewayError, NotAuthenticated, NotPermitted
from producers.gateway.calls.service import LOCAL, REVOKED, AnyRequest, admit, gateway_of, require_scope
from producers.gateway.console.cookies import Kind, ended_cookie, new_cookie, read_cookie
from producers.gateway.console.destinations import FIRST_PAGE, checked_page, lead_on
from producers.gateway.console.forms import read_form
from producers.gateway.console.rendering import link, render
from producers.gateway.serving.call_checks import is_cross_origin
from producers.gateway.settings import is_loopback

MAX_TOKEN_CHARS = 100

Token = Annotated[str | None, QueryParameter(name="token")]
Next = Annotated[str, QueryParameter(name="next")]


class SignInRequired(NotAuthenticated):
    """The browser is not signed in, or not any more."""


async def require_session(request: AnyRequest) -> Redirect | None:
    """Admit a call of a page, before its body is read.

    Returns:
        None; for a key that cannot see the first page, where it begins.

    Raises:
        SignInRequired: the browser is not signed in.
        NotPermitted: its key has not the scope of the page, or another site sent the form.
    """
    scope: Scope | None = request.route_handler.opt.get("page")
    if scope is None:
        return None
    key = await key_of_browser(request)
    admit(request, key)
    if request.method == "POST":
        _refuse_other_origins(request)
    require_scope(gateway_of(request).settings, key, scope)
    if key.is_bound and FIRST_PAGE in request.route_handler.paths:
        return Redirect(link(request, "/search"), status_code=HTTPStatus.SEE_OTHER.value)
    return None


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


async def is_signed_in(request: AnyRequest) -> bool:
    """Return whether a browser whose call lasts is still signed in. While Redis is away, nobody knows: it is."""
    try:
        require_scope(gateway_of(request).settings, await key_of_browser(request), Scope.READ)
    except (SignInRequired, NotPermitted):
        return False
    except ProducerError:
        return True
    return True


async def recognise_browser(error: Exception, scope: HttpScope) -> None:
    """Note who asks for what there is not: the page that says so has its navigation. A hook of the application."""
    if isinstance(error, HTTPException):
        connection = ASGIConnection[Any, Any, Any, Any](scope)
        with suppress(GatewayError, ProducerError):
            admit(connection, await key_of_browser(connection))


@get("/sign-in", include_in_schema=False)
async def sign_in_page(request: AnyRequest, token: Token = None, asked: Next = FIRST_PAGE) -> Response[Any]:
    """Show the form; with the token of the link that `serve` prints, sign in with it."""
    page = checked_page(asked)
    if token is not None and gateway_of(request).use_sign_in_token(token):
        try:
            cookie = await _new_session(request, LOCAL.key_id)
        except ProducerError:
            gateway_of(request).restore_sign_in_token(token)
            raise
        return lead_on(request, page, "Signed in", [cookie])
    try:
        await key_of_browser(request)
    except SignInRequired as exc:
        if token is not None:
            error = "this link was used before, or is of an earlier start; sign in with an access key"
            return _form(request, page, error, HTTPStatus.UNAUTHORIZED)
        return _form(request, page, str(exc) if read_cookie(request, Kind.SESSION) else None)
    return Redirect(link(request, page), status_code=HTTPStatus.SEE_OTHER.value)


@post("/sign-in", include_in_schema=False)
async def sign_in(request: AnyRequest) -> Response[Any]:
    """Sign in with an access key that may see something."""
    _refuse_other_origins(request)
    form = await read_form(request)
    page = checked_page(form.get("next", FIRST_PAGE))
    gateway = gateway_of(request)
    client = request.client.host if request.client else None
    try:
        key = await gateway.authenticate(f"Bearer {form.get('key', '').strip()}", client)
        require_scope(gateway.settings, key, Scope.READ)
    except NotAuthenticated:
        return _form(request, page, REVOKED, HTTPStatus.UNAUTHORIZED)
    except GatewayError as exc:
        return _form(request, page, str(exc), exc.status)
    cookie = await _new_session(request, key.key_id)
    return Redirect(link(request, page), status_code=HTTPStatus.SEE_OTHER.value, cookies=[cookie])


@post("/sign-out", include_in_schema=False, status_code=HTTPStatus.SEE_OTHER.value)
async def sign_out(request: AnyRequest) -> Redirect:
    """End the session."""
    _refuse_other_origins(request)
    token = read_cookie(request, Kind.SESSION)
    if token:
        await gateway_of(request).end_session(token)
    cookie = ended_cookie(request, Kind.SESSION)
    return Redirect(link(request, "/sign-in"), status_code=HTTPStatus.SEE_OTHER.value, cookies=[cookie])


def _form(request: AnyRequest, page: str, error: str | None, status: HTTPStatus = HTTPStatus.OK) -> Response[bytes]:
    return render(request, "sign_in.html", {"title": "Sign in", "error": error, "page": page}, status)


async def _new_session(request: AnyRequest, key_id: str) -> Cookie:
    token = await gateway_of(request).producer.access_keys.open_session(key_id)
    return new_cookie(request, Kind.SESSION, token)


ROUTES = [sign_in_page, sign_in, sign_out]
