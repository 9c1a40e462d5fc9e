"""The cookies of the console: the session of a browser, and what the next page says."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.rendering import link

_replace_other = re.compile(r"[^a-z0-9]+").sub


class Kind(StrEnum):
    """What a cookie is for."""

    SESSION = "session"
    NOTICE = "notice"


def cookie_name(kind: Kind, host: str, prefix: str = "") -> str:
    """Return the name of a cookie.

    A browser sends it to every port of a host, and to every path below its own: gateways there have other names.

    Args:
        kind: what it is for.
        host: the host of the gateway with its port, as the browser calls it.
        prefix: the path at which a proxy serves the gateway.
    """
    return _replace_other("_", f"copytrade_{kind}_{host}{prefix}".lower())


def read_cookie(connection: ASGIConnection[Any, Any, Any, Any], kind: Kind) -> str:
    """Return the value of a cookie; empty if there is none."""
    return connection.cookies.get(_name(connection, kind), "")


def new_cookie(request: AnyRequest, kind: Kind, value: str, path: str = "/", max_age_s: int | None = None) -> Cookie:
    """Return a cookie for this browser alone: not for scripts, not sent by other sites, and by TLS only if it has that.

    Behind a proxy that ends TLS, the gateway is called without: the form that signs in says by its Origin what the
    browser sees. A forged one concerns only the cookie of who forged it.

    Args:
        request: the call.
        kind: what it is for.
        value: its value.
        path: the path of the pages that get it.
        max_age_s: how long it is kept; None for as long as the browser is open.
    """
    is_tls = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
    return Cookie(
        key=_name(request, kind), value=value, path=link(request, path), max_age=max_age_s, httponly=True,
        samesite="strict", secure=is_tls,
    )  # fmt: skip


def ended_cookie(request: AnyRequest, kind: Kind, path: str = "/") -> Cookie:
    """Return a cookie that takes the place of one and ends at once."""
    return new_cookie(request, kind, "", path, max_age_s=0)


def _name(connection: ASGIConnection[Any, Any, Any, Any], kind: Kind) -> str:
    return cookie_name(kind, connection.headers.get("host", ""), connection.scope.get("root_path", ""))
