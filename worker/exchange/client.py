"""The HTTP client of the exchange.

It sends bytes and headers unchanged and does not interpret them. It returns `RawReply` or raises `TransportError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Self

import aiohttp
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_TYPE
from yarl import URL

from worker.clock import Clock, SystemClock
from worker.errors import NotSent, TransportError
from worker.exchange.connections import ExchangeConnector, UnsolicitedData
from worker.exchange.content_encoding import UndecodableBody, charset_of, decode
from worker.settings import exchange_origin

MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 1_000
"""Bounds of a reply's header lines, far above what servers and proxies send. Beyond aiohttp's own (8,190 bytes, 128
headers), a reply could not be read although its request was applied."""

_MESSAGE_CHARS = 200

_BAD_HEADS = (
    ("Got more than", f"a header line has more than {MAX_HEADER_BYTES} bytes"),
    ("Too many headers", f"it has more than {MAX_HEADERS} headers"),
    ("Can not decode content-encoding", "its Content-Encoding, which was not asked for, cannot be decoded"),
)
"""The beginnings of aiohttp's messages about replies whose head it rejects, and ours, which quote nothing."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as received.

    Attributes:
        status: HTTP status.
        body: the whole body, decompressed.
        took_s: from the write of the request to the end of the reply, without the wait for a connection.
        charset: as its Content-Type states it; None without one.
        retry_after: the header Retry-After, unparsed; None if absent.
    """

    status: int
    body: bytes
    took_s: float
    charset: str | None = None
    retry_after: str | None = None


@dataclass(slots=True)
class _SendState:
    """Whether a request may be sent, and when it was written. `ExchangeClient._before_write` updates it."""

    may_send: Callable[[], bool]
    sent_s: float | None = None
    is_stopped: bool = False


class ExchangeClient:
    """An HTTP client with a pool of connections to one exchange.

        async with ExchangeClient("https://api.bitget.com", max_connections=256) as exchange:
            reply = await exchange.post(path, body, headers)

    It follows no redirects, keeps no cookies and ignores proxy variables: a signed request reaches only the named host.
    """

    def __init__(
        self,
        base_url: str,
        max_connections: int,
        connect_timeout_s: float = 2.0,
        total_timeout_s: float = 6.0,
        reply_limit_bytes: int = 65_536,
        clock: Clock | None = None,
    ) -> None:
        """Create a client; it connects within `async with`.

        Args:
            base_url: scheme and host, such as "https://api.bitget.com".
            max_connections: maximum concurrent requests; others wait for a connection.
            connect_timeout_s: limit for getting a connection: waiting for a free one, DNS, TCP and TLS.
            total_timeout_s: limit for a whole request. A signature is valid for 30 s, so stay well below.
            reply_limit_bytes: a longer reply is an error. Normal replies have about 100 bytes.
            clock: measures `took_s`.

        Raises:
            SettingsError: `base_url` is not scheme and host.
        """
        self._origin = exchange_origin(base_url)
        self._max_connections = max_connections
        # By default aiohttp rounds timeouts above 5 s up to whole seconds, which would be longer than asked for.
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout_s, connect=connect_timeout_s, ceil_threshold=float("inf")
        )
        self._reply_limit_bytes = reply_limit_bytes
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        # Despite their names, aiohttp awaits both hooks just before it writes: the last moment to cancel a request.
        tracing.on_request_headers_sent.append(self._before_write)
        tracing.on_request_chunk_sent.append(self._before_write)
        self._session = aiohttp.ClientSession(
            connector=ExchangeConnector(self._max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            timeout=self._timeout,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            trace_configs=[tracing],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], *, may_send: Callable[[], bool] = _always
    ) -> RawReply:
        """Send a POST.

        Args:
            path: path and raw query, as signed.
            body: the bytes as signed.
            headers: all headers of the request; they contain secrets and appear in no error.
            may_send: asked just before the write, so that a slow connection or a stalled process cannot send the
                request when it must not be sent any more.

        Raises:
            NotSent: `may_send` said no, and nothing was sent.
            TransportError: there is no readable reply; its `sent` says whether the exchange may have the request.
        """
        return await self._request("POST", path, body, headers, may_send)

    async def get(self, path: str) -> RawReply:
        """Send a GET without credentials; raise TransportError without a readable reply."""
        return await self._request("GET", path, None, None, _always)

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        may_send: Callable[[], bool],
    ) -> RawReply:
        if self._session is None:
            raise RuntimeError("ExchangeClient is not open; use it within `async with`")
        send_state = _SendState(may_send)
        try:
            async with self._session.request(
                method,
                URL(self._origin + path, encoded=True),  # as signed: yarl must not quote it again
                data=body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=send_state,
            ) as response:
                content = await self._read(response)
                status, charset = response.status, charset_of(response.headers.get(CONTENT_TYPE, ""))
                retry_after = response.headers.get("Retry-After")
        except aiohttp.ClientResponseError as exc:
            error = self._transport_error(method, path, send_state, exc)
        except (aiohttp.ClientError, UndecodableBody, OSError) as exc:  # a TimeoutError is an OSError
            if send_state.is_stopped:
                raise NotSent(f"{method} {self._origin}{path}: not sent, the worker's session had ended") from None
            raise self._transport_error(method, path, send_state, exc) from exc
        else:
            received_s = self._clock.monotonic()
            sent_s = received_s if send_state.sent_s is None else send_state.sent_s
            return RawReply(status, content, received_s - sent_s, charset, retry_after)
        # Raised outside `except`, so without cause: a ClientResponseError has the request's headers in its repr.
        raise error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the decoded body; raise UndecodableBody if it is longer than the limit or cannot be decoded."""
        content = b""
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._reply_limit_bytes:
                response.close()  # without reading the rest
                raise UndecodableBody(f"it has more than {self._reply_limit_bytes} bytes")
        return decode(content, response.headers.getall(CONTENT_ENCODING, ()), self._reply_limit_bytes)

    async def _before_write(self, _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        """Record the time of sending, or stop the request if it may not be sent any more; a trace hook of aiohttp."""
        send_state: _SendState = context.trace_request_ctx
        if not send_state.may_send():
            send_state.is_stopped = True
            raise aiohttp.ClientConnectionError("it may not be sent any more")
        send_state.sent_s = self._clock.monotonic()

    def _transport_error(self, method: str, path: str, send_state: _SendState, exc: Exception) -> TransportError:
        sent = send_state.sent_s is not None
        stage = "no readable reply" if sent else "no connection"
        message = f"{method} {self._origin}{path}: {stage}: {_describe(exc)}"
        hint = "" if sent else _proxy_hint(self._origin, os.environ)
        return TransportError(message[: _MESSAGE_CHARS - len(hint)] + hint, sent=sent)


def _proxy_hint(origin: str, environ: Mapping[str, str]) -> str:
    """Return the end of an error message that names a proxy variable which would apply to other programs."""
    names = (f"{origin.partition(':')[0]}_proxy", "all_proxy")
    found = next((name for lower in names for name in (lower, lower.upper()) if environ.get(name)), None)
    return f"; {found} is set, but workers use no proxy" if found else ""


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
    detail = exc.strerror if isinstance(exc, OSError) else None
    return f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__
