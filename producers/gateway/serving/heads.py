"""Heads of requests: what HTTP/1.1 itself forbids (RFC 9112), and answers to it that no application gives. No I/O."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from litestar.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from producers.gateway.calls.problems import MEDIA_TYPE, of_http_error, problem_headers

MAX_HEAD_BYTES = 65_536
"""Request line and headers, as h11 limits them; also trailers, and what is between the chunks of a body."""

Headers = list[tuple[bytes, bytes]]

_match_absolute = re.compile(rb"[^/?#]+://([^/?#]*)").match

_HTTP_1 = ("1.0", "1.1")


def head_refusal(version: str, method: bytes, url: bytes, headers: Headers) -> HTTPException | None:
    """Return why a head is refused by HTTP itself (RFC 9112), if it is."""
    if version not in _HTTP_1:
        return refusal_of(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"this server speaks HTTP/1.1, not HTTP/{version}")
    if method == b"CONNECT":
        return refusal_of(HTTPStatus.NOT_IMPLEMENTED, "this server is no proxy")
    if len(url) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        return head_too_large()
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value.strip().lower())
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        return refusal_of(HTTPStatus.BAD_REQUEST, f"there must be one header Host; there are {len(hosts)}")
    absolute = _match_absolute(url)
    if absolute and hosts and absolute[1].lower() != hosts[0]:
        return refusal_of(HTTPStatus.BAD_REQUEST, "the target of the request and its header Host name different hosts")
    if codings and (version == "1.0" or codings != [b"chunked"]):
        return refusal_of(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding is chunked, in HTTP/1.1")
    return None


def refusal_of(status: HTTPStatus, detail: str) -> HTTPException:
    """Return the refusal of a request."""
    return HTTPException(detail=detail, status_code=status.value)


def head_too_large() -> HTTPException:
    """Return the refusal of a head that is too large."""
    rule = f"request line and headers must be at most {MAX_HEAD_BYTES:,} bytes"
    return refusal_of(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, rule)


def response_to(refusal: HTTPException, default_headers: Headers) -> bytes:
    """Return a refusal as a whole HTTP response, after which the connection is closed."""
    problem = of_http_error(refusal)
    body = msgspec.json.encode(problem)
    headers = [(name.encode(), value.encode()) for name, value in problem_headers(problem).items()]
    headers += [*default_headers, (b"content-type", MEDIA_TYPE.encode())]
    headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])
