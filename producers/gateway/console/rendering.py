"""HTML from templates, with the headers that every page has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from markupsafe import Markup

from producers.cli.text import EMPTY_CELL, format_count, format_duration, format_time
from producers.cli.views import outcome_counts
from producers.contract.wording import plural
from producers.gateway.calls.service import AnyRequest, admitted_key, gateway_of, location
from producers.gateway.console.assets import asset_path

MEDIA_TYPE = "text/html"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _time(unix_ms: int | None) -> str | Markup:
    """Return a time in UTC, which a script changes to the reader's zone."""
    if not unix_ms:
        return EMPTY_CELL
    iso = datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
    text = format_time(unix_ms)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, text, text)


def _words(code: str) -> str:
    """Return a code as words: in_flight as "in flight"."""
    return str(code).replace("_", " ")


_environment = Environment(
    loader=PackageLoader("producers.gateway.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "time": _time,
    "count": format_count,
    "duration": format_duration,
    "outcomes": outcome_counts,
    "plural": plural,
    "words": _words,
    "json": lambda value: msgspec.json.encode(value).decode(),
}


def link(request: AnyRequest, path: str, **parameters: Any) -> str:
    """Return the address of a page, under the prefix that this application is mounted at."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return location(request, path) + (f"?{urlencode(given)}" if given else "")


def render(
    request: AnyRequest, template: str, values: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK
) -> Response[bytes]:
    """Return a page with the content of a template as a response. `values` has its `title`."""
    page = _environment.get_template("page.html")
    text = page.render(_context(request, {**values, "content": template}))
    return Response(text.encode(), media_type=MEDIA_TYPE, status_code=status.value, headers=HEADERS)


def render_content(request: AnyRequest, template: str, values: Mapping[str, Any]) -> str:
    """Return the content alone, as text."""
    return _environment.get_template(template).render(_context(request, values))


def _context(request: AnyRequest, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every template may use: addresses, and what the reader may do."""
    key = admitted_key(request)
    settings = gateway_of(request).settings
    return {
        "link": lambda path, **parameters: link(request, path, **parameters),
        "asset": lambda name: location(request, asset_path(name)),
        "key": key,
        "may": lambda scope: key is not None and scope in key.scopes and not settings.gateway_read_only,
        "site": settings.gateway_title,
        "is_read_only": settings.gateway_read_only,
        "is_signed_in": key is not None and settings.gateway_auth,
        **values,
    }
