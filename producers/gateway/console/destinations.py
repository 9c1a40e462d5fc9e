"""Where a browser is led: to the page that it asked for before it signed in, and never to another site."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from litestar import Response
from litestar.datastructures import Cookie

from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.rendering import link, render

FIRST_PAGE = "/"

_match_page = re.compile(r"/(?:[a-z-]+(?:/[a-z-]+)*)?(?:\?[!-~]*)?", re.ASCII).fullmatch


def checked_page(text: str) -> str:
    """Return the path and query of a page, if they have the form of one of ours; else those of the first page.

    They come from the address: `//host` would lead to another site, and `/../` out of the prefix.
    """
    return text if _match_page(text) else FIRST_PAGE


def asked_page(request: AnyRequest) -> str:
    """Return the page that a call asks for, without the prefix; of a form, the page that had it."""
    if request.method == "POST":
        try:
            _, _, path, query, _ = urlsplit(request.headers.get("referer", ""))
        except ValueError:  # no address
            return FIRST_PAGE
    else:
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    path = path.removeprefix(request.scope.get("root_path", ""))
    return checked_page(f"{path}?{query}" if query else path)


def lead_on(request: AnyRequest, page: str, title: str, cookies: Iterable[Cookie] = ()) -> Response[bytes]:
    """Return a page that leads to another by itself.

    A browser that comes from another site, or a mail, sends no cookie that is `SameSite=Strict`, however often it is
    redirected. It sends it when a page of ours leads on.
    """
    address = link(request, page)
    response = render(request, "lead_on.html", {"title": title, "address": address})
    response.headers["Refresh"] = f"0; url={address}"
    for cookie in cookies:
        response.set_cookie(cookie)
    return response
