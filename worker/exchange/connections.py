"""Connections to the exchange on which only the reply to the request under way is read.

aiohttp parses what arrives on an idle connection of its pool and returns it as the reply to the next request, so that
one reply too many would answer for another user's change. Here a connection is closed as soon as data arrives that no
request asked for.

Through a proxy, aiohttp opens the way with CONNECT and ends TLS at the exchange, so nothing that the proxy says itself
can be read as a reply of the exchange.
"""

from __future__ import annotations

import asyncio
import select
import socket
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from producers.errors import SettingsError
from producers.settings import variable_name

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEEPALIVE_S = 60.0
"""How long an idle connection is kept, because changes come in bursts and a new one costs a TLS handshake."""

DNS_CACHE_S = 60
"""How long an address is cached. The exchange's content delivery network changes its addresses often."""


class UnsolicitedData(aiohttp.ClientConnectionError):
    """A new connection received data before its first request."""


class _Protocol(ResponseHandler):
    """A connection that is aborted when data arrives without a request under way.

    Attributes:
        requests: the number of requests so far.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self._has_request = False

    def begin_request(self) -> None:
        """Read what arrives from now on as the reply to a request."""
        self.requests += 1
        self._has_request = True

    def end_request(self) -> None:
        """Read nothing more."""
        self._has_request = False

    def data_received(self, data: bytes) -> None:
        """Parse data of a reply; abort the connection for any other data."""
        if self._has_request:
            super().data_received(data)
            # The end of the reply ends the request. What followed it in the same segment is in the buffer then.
            is_unsolicited = not self._has_request and self.should_close
        else:
            is_unsolicited = bool(data)
        if is_unsolicited:
            self.abort()

    def is_quiet(self) -> bool:
        """Return whether the connection is open, and nothing has arrived on it since its last reply."""
        if self.transport is None or self.transport.is_closing():
            return False
        is_tls = self.transport.get_extra_info("sslcontext") is not None
        if is_tls and not self.requests:
            return True  # a TLS server may send session tickets before the first request
        # Data can wait in the socket, as after a stall of the event loop.
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)


class ExchangeConnector(aiohttp.TCPConnector):
    """A pool of connections to the exchange.

    Args:
        limit: maximum number of connections; further requests wait for one.
        bind: the local IP address to connect from; None for the one that the system chooses.
    """

    def __init__(self, limit: int, bind: str | None = None) -> None:
        super().__init__(
            limit=limit,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_CACHE_S,
            local_addr=(bind, 0) if bind else None,
            family=_family(bind) if bind else socket.AF_UNSPEC,
        )
        # mypy does not see that a partial of a subclass is one of its base class.
        self._factory = partial(cast("type[ResponseHandler]", _Protocol), loop=self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature of aiohttp
    ) -> Connection:
        """Return a connection on which nothing has arrived since its last reply.

        Raises:
            UnsolicitedData: a new connection received data before its first request.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = cast("_Protocol", connection.protocol)
            if protocol.is_quiet():
                protocol.begin_request()
                connection.add_callback(protocol.end_request)
                return connection
            connection.close()
            if not protocol.requests:
                raise UnsolicitedData

    async def _create_direct_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature of aiohttp
        *,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Return a connection, to a proxy one that may answer CONNECT. TLS to the exchange gets another protocol."""
        transport, protocol = await super()._create_direct_connection(req, traces, timeout, client_error=client_error)
        if client_error is aiohttp.ClientProxyConnectionError:
            cast("_Protocol", protocol).begin_request()
        return transport, protocol


def check_local_address(address: str) -> None:
    """Check that connections can be made from an address.

    Raises:
        SettingsError: this machine does not have it.
    """
    with socket.socket(_family(address), socket.SOCK_STREAM) as trial:
        try:
            trial.bind((address, 0))
        except OSError as exc:
            name = variable_name("egress_bind")
            raise SettingsError(f"{name}: this machine cannot send from {address}: {exc.strerror}") from exc


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
