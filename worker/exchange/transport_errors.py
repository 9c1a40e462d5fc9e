"""What the errors of aiohttp are called in messages, which quote neither requests nor replies. No I/O."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from producers.settings import variable_name
from worker.errors import ProxyFailed, TransportError
from worker.exchange.connections import UnsolicitedData
from worker.exchange.content_encoding import UndecodableBody
from worker.settings import Proxy

MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 1_000
"""Bounds of a reply's header lines, far above what servers and proxies send. Beyond aiohttp's own (8,190 bytes, 128
headers), a reply could not be read although its request was applied."""

_BAD_HEADS = (
    ("Got more than", f"a header line has more than {MAX_HEADER_BYTES} bytes"),
    ("Too many headers", f"it has more than {MAX_HEADERS} headers"),
    ("Can not decode content-encoding", "its Content-Encoding, which was not asked for, cannot be decoded"),
)
"""The beginnings of aiohttp's messages about replies whose head it rejects, and ours, which quote nothing."""

_MESSAGE_CHARS = 200


def transport_error(request: str, origin: str, exc: Exception, *, sent: bool, proxy: Proxy | None) -> TransportError:
    """Return the error of a request that got no readable reply.

    Args:
        request: method and URL.
        origin: scheme and host of the exchange.
        exc: aiohttp's error.
        sent: whether the exchange may have the request.
        proxy: the proxy that it went through.
    """
    if proxy is not None and not sent:
        return ProxyFailed(f"{request}: {_describe_proxy(proxy, exc)}"[:_MESSAGE_CHARS])
    stage = "no readable reply" if sent else "no connection"
    hint = "" if sent else _proxy_hint(origin, os.environ)
    return TransportError(f"{request}: {stage}: {_describe(exc)}"[: _MESSAGE_CHARS - len(hint)] + hint, sent=sent)


def _proxy_hint(origin: str, environ: Mapping[str, str]) -> str:
    """Return the end of an error message that names a proxy variable which would apply to other programs."""
    names = (f"{origin.partition(':')[0]}_proxy", "all_proxy")
    found = next((name for lower in names for name in (lower, lower.upper()) if environ.get(name)), None)
    return f"; {found} is set, but workers use only {variable_name('egress_proxy')}" if found else ""


def _describe_proxy(proxy: Proxy, exc: Exception) -> str:
    """Describe why there was no connection through a proxy; what the proxy says is not quoted."""
    match exc:
        case aiohttp.ClientHttpProxyError(status=HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
            setting = variable_name("egress_proxy")
            return f"the proxy {proxy.address} rejects its user and password (407): correct {setting}"
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the proxy {proxy.address} does not connect to the exchange: it answered {status}"
        case aiohttp.ClientProxyConnectionError():
            return f"no connection to the proxy {proxy.address}: {_describe(exc)}"
    return f"no connection through the proxy {proxy.address}: {_describe(exc)}"


def _describe(exc: Exception) -> str:
    """Describe an error without quoting the request, or the reply, which may quote the request."""
    match exc:
        case UndecodableBody():
            return str(exc)
        case aiohttp.ClientPayloadError():
            return "it was cut, or cannot be decompressed"
        case aiohttp.ClientResponseError():
            return next((reason for start, reason in _BAD_HEADS if exc.message.startswith(start)), "it is not HTTP")
        case UnsolicitedData():
            return "the server sent data before the request"
        case TimeoutError():
            return "time-out"
        case aiohttp.ClientSSLError() if "WRONG_VERSION_NUMBER" in str(exc):
            return "the server does not speak TLS at this port: correct the URL's port, or begin it with http://"
    detail = exc.strerror if isinstance(exc, OSError) else None
    return f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__
