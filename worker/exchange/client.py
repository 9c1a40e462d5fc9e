"""The HTTP client of the exchange.

It sends bytes and headers unchanged and does not interpret them. It returns `RawReply` or raises `TransportError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import aiohttp
import msgspec
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_TYPE, PROXY_AUTHORIZATION
from yarl import URL

from worker.clock import Clock, SystemClock
from worker.errors import NotSent, TransportError
from worker.exchange.connections import ExchangeConnector
from worker.exchange.content_encoding import UndecodableBody, charset_of, decode
from worker.exchange.sending import Sending, SendingBody, trace_without_body
from worker.exchange.transport_errors import MAX_HEADER_BYTES, MAX_HEADERS, transport_error
from worker.settings import Proxy, exchange_origin


def _always() -> bool:
    return True


class RawReply(msgspec.Struct, frozen=True):
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


class ExchangeClient:
    """An HTTP client with a pool of connections to one exchange.

        async with ExchangeClient("https://api.bitget.com", max_connections=256) as exchange:
            reply = await exchange.post(path, body, headers)

    It follows no redirects, keeps no cookies and ignores proxy variables: a signed request reaches only the named host,
    through a proxy too, which only passes TLS on.
    """

    def __init__(
        self,
        base_url: str,
        max_connections: int,
        connect_timeout_s: float = 2.0,
        total_timeout_s: float = 6.0,
        reply_limit_bytes: int = 65_536,
        clock: Clock | None = None,
        *,
        bind: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        """Create a client; it connects within `async with`.

        Args:
            base_url: scheme and host, such as "https://api.bitget.com".
            max_connections: maximum concurrent requests; others wait for a connection.
            connect_timeout_s: limit for getting a connection: waiting for a free one, DNS, TCP and TLS.
            total_timeout_s: limit for a whole request. A signature is valid for 30 s, so stay well below.
            reply_limit_bytes: a longer reply is an error. Normal replies have about 100 bytes.
            clock: measures `took_s`.
            bind: the local IP address to connect from; None for the one that the system chooses.
            proxy: the proxy to go through, to an https:// exchange only.

        Raises:
            SettingsError: `base_url` is not scheme and host.
        """
        self._origin = exchange_origin(base_url)
        self._bind = bind
        self._proxy = proxy
        self._max_connections = max_connections
        # By default aiohttp rounds timeouts above 5 s up to whole seconds, which would be longer than asked for.
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout_s, connect=connect_timeout_s, ceil_threshold=float("inf")
        )
        self._reply_limit_bytes = reply_limit_bytes
        self._clock = clock or SystemClock()
        self._connector: ExchangeConnector | None = None
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        self._connector = ExchangeConnector(self._max_connections, self._bind)
        self._sessions = {"POST": self._session(), "GET": self._session(trace_without_body())}
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connector is not None:
            await self._connector.close()  # before the sessions are gone: they end with it
        self._connector, self._sessions = None, {}

    def _session(self, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            timeout=self._timeout,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            trace_configs=list(traces),
        )

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
        session = self._sessions.get(method)
        if session is None:
            raise RuntimeError("ExchangeClient is not open; use it within `async with`")
        sending = Sending(self._clock, may_send)
        try:
            async with session.request(
                method,
                URL(self._origin + path, encoded=True),  # as signed: yarl must not quote it again
                data=None if body is None else SendingBody(body, sending),
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy.url if self._proxy else None,
                proxy_headers=_proxy_headers(self._proxy),
                trace_request_ctx=sending,
            ) as response:
                content = await self._read(response)
                status, charset = response.status, charset_of(response.headers.get(CONTENT_TYPE, ""))
                retry_after = response.headers.get("Retry-After")
        except aiohttp.ClientResponseError as exc:
            error: Exception = self._error(method, path, sending, exc)
        except (aiohttp.ClientError, UndecodableBody, OSError) as exc:  # a TimeoutError is an OSError
            error = self._error(method, path, sending, exc)
            if self._proxy is None and not sending.is_stopped:
                raise error from exc
        else:
            if sending.sent_s is not None:
                return RawReply(status, content, self._clock.monotonic() - sending.sent_s, charset, retry_after)
            error = RuntimeError("a request was written, but not by `Sending`: this version of aiohttp cannot be used")
        if sending.is_stopped:
            raise NotSent(f"{method} {self._origin}{path}: not sent, the worker's session had ended")
        # Raised outside `except`, so without cause: such errors have the headers of the request, or for the proxy, in
        # their repr.
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

    def _error(self, method: str, path: str, sending: Sending, exc: Exception) -> TransportError:
        sent = sending.sent_s is not None
        return transport_error(f"{method} {self._origin}{path}", self._origin, exc, sent=sent, proxy=self._proxy)


def _proxy_headers(proxy: Proxy | None) -> dict[str, str] | None:
    """Return the headers for a proxy, new for each request, since aiohttp adds to them."""
    return {PROXY_AUTHORIZATION: proxy.authorization.reveal()} if proxy and proxy.authorization else None
