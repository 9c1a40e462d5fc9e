"""The connection to the exchange. The only module that knows aiohttp; it speaks `RawReply` and `TransportError`.

It sends bytes and headers as they are, and knows nothing of what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp
from yarl import URL

from producers.errors import SettingsError
from worker.clock import Clock, SystemClock
from worker.errors import SendDeadlinePassed, TransportError

KEEPALIVE_S = 60.0
"""An idle connection is kept this long: a TLS handshake costs two round trips, and waves of changes come apart."""

DNS_CACHE_S = 60
"""The exchange stands behind a content delivery network with short-lived addresses; a minute keeps failover quick."""

_MESSAGE_CHARS = 200


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came.

    Attributes:
        status: HTTP status.
        body: the whole body, decompressed.
        took_s: from the writing of the request to the end of the reply; without the wait for a connection.
    """

    status: int
    body: bytes
    took_s: float


class _Passage:
    """How far a request has come, and until when it may be sent."""

    __slots__ = ("not_after_s", "sent_s", "too_late")

    def __init__(self, not_after_s: float) -> None:
        self.not_after_s = not_after_s
        self.sent_s: float | None = None
        self.too_late = False


class Exchange:
    """A pool of connections to one exchange.

        async with Exchange("https://api.bitget.com", max_connections=256) as exchange:
            reply = await exchange.post(path, body, headers)

    Redirects are not followed, cookies are not kept, proxies of the environment are not used: a signed request goes to
    the named host or nowhere.
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
        """Only keeps the values; connections are made within `async with`.

        Args:
            base_url: scheme and host, such as "https://api.bitget.com".
            max_connections: how many requests may be under way; more wait for a connection.
            connect_timeout_s: until a connection is ready: waiting for a free one, name, TCP and TLS.
            total_timeout_s: for the whole of a request. A signature lives for 30 s, so stay well below.
            reply_limit_bytes: a longer reply is an error. The exchange's have about 100 bytes.
            clock: measures `took_s`.

        Raises:
            SettingsError: `base_url` is not one.
        """
        self._origin = _origin(base_url)
        self._max_connections = max_connections
        # By default aiohttp rounds time-outs above 5 s up to whole seconds of its clock, which would outlast a lease.
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout_s, connect=connect_timeout_s, ceil_threshold=float("inf")
        )
        self._reply_limit_bytes = reply_limit_bytes
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        # Despite their names, aiohttp awaits both just before it writes: these are the last moments to turn back.
        tracing.on_request_headers_sent.append(self._note_sending)
        tracing.on_request_chunk_sent.append(self._note_sending)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=DNS_CACHE_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            timeout=self._timeout,
            trust_env=False,
            trace_configs=[tracing],
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], *, not_after_s: float = math.inf
    ) -> RawReply:
        """Sends a POST.

        Args:
            path: path and raw query, as signed.
            body: the bytes as signed.
            headers: all headers of the request; they hold secrets and appear in no error.
            not_after_s: a request that is not written by then, monotonic clock, is not sent. Looked at just before the
                bytes are written, whatever came between: the wait for a connection, a stop signal.

        Raises:
            TooLate: it was not sent.
            TransportError: there is no readable reply.
        """
        return await self._request("POST", path, body, headers, not_after_s)

    async def get(self, path: str) -> RawReply:
        """Sends a GET without credentials.

        Args:
            path: path and raw query.

        Raises:
            TransportError: there is no readable reply.
        """
        return await self._request("GET", path, None, None, math.inf)

    async def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None, not_after_s: float
    ) -> RawReply:
        if self._session is None:
            raise RuntimeError("Exchange is not open; use it within `async with`")
        passage = _Passage(not_after_s)
        try:
            async with self._session.request(
                method,
                URL(self._origin + path, encoded=True),  # as signed: without another round of quoting
                data=body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=passage,
            ) as response:
                content = await self._read(response)
                status = response.status
        except aiohttp.ClientResponseError as exc:
            failure = self._failure(method, path, passage, exc)
        except (aiohttp.ClientError, OSError) as exc:  # a TimeoutError is an OSError
            if passage.too_late:
                raise SendDeadlinePassed(f"{method} {self._origin}{path}: not sent, the time for it was over") from None
            raise self._failure(method, path, passage, exc) from exc
        else:
            received_s = self._clock.monotonic()
            sent_s = received_s if passage.sent_s is None else passage.sent_s
            return RawReply(status, content, received_s - sent_s)
        # Without a cause, for this one holds the request's headers and shows them in its repr.
        raise failure

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, if it is not too long."""
        content = b""
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._reply_limit_bytes:
                response.close()  # the rest is not waited for
                raise aiohttp.ClientPayloadError(f"reply of more than {self._reply_limit_bytes} bytes")
        return content

    async def _note_sending(self, _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        """Called by aiohttp when it has a connection and is about to write."""
        passage: _Passage = context.trace_request_ctx
        now_s = self._clock.monotonic()
        if now_s > passage.not_after_s:
            passage.too_late = True
            raise aiohttp.ClientConnectionError("too late")
        passage.sent_s = now_s

    def _failure(self, method: str, path: str, passage: _Passage, exc: Exception) -> TransportError:
        sent = passage.sent_s is not None
        stage = "no readable reply" if sent else "no connection"
        message = f"{method} {self._origin}{path}: {stage}: {_reason(exc)}"
        return TransportError(message[:_MESSAGE_CHARS], sent=sent)


def _origin(base_url: str) -> str:
    """Scheme, host and port of a URL."""
    try:
        url = URL(base_url)
        if url.scheme in {"http", "https"} and url.host and url == url.origin():
            return str(url.origin())
    except ValueError:
        pass
    # Not shown: it may hold a password.
    raise SettingsError("COPYTRADE_EXCHANGE_URL: must be scheme and host only, such as https://api.bitget.com")


def _reason(exc: Exception) -> str:
    """What went wrong, in words that cannot quote the request."""
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the reply was cut or is too long"
    if isinstance(exc, TimeoutError):
        return "time-out"
    detail = exc.strerror if isinstance(exc, OSError) else None
    return f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__
