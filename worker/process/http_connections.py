"""The connections of the worker's HTTP server: few and short, so that no peer takes the worker's file descriptors.

aiohttp limits neither how many connections there are, nor how long one may take to read what it asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from worker.logs import Event, log_fields

MAX_CONNECTIONS = 32
"""How many are open at once; of more, the one that was opened first is closed."""

BACKLOG = 32
"""How many connections wait to be accepted. asyncio accepts as many at once, before it tells of the first."""

CONNECTION_S = 5.0
"""How long a connection may be open. It serves one request: scrapes and probes come seconds apart."""

MAX_LINE_BYTES = 4096
"""Of a request line, and of a header: one of them may have a token."""

log = logging.getLogger(__name__)


class FewConnections(web.Server):
    """A server of aiohttp whose connections are limited in number and time."""

    def __init__(self, answer: Callable[[web.BaseRequest], web.Response]) -> None:
        """Create a server; `answer` returns the response to a request."""

        async def handle(request: web.BaseRequest) -> web.Response:
            response = answer(request)
            response.force_close()
            return response

        super().__init__(
            handle,
            access_log=None,
            logger=_server_log(),
            keepalive_timeout=CONNECTION_S,
            lingering_time=0.0,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}
        self._is_logged = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Give a connection its time, and close the oldest one if there are too many."""
        super().connection_made(handler, transport)
        timer = asyncio.get_running_loop().call_later(CONNECTION_S, transport.abort)
        self._open[handler] = transport, timer
        if len(self._open) > MAX_CONNECTIONS:
            oldest, timer = self._open.pop(next(iter(self._open)))
            timer.cancel()
            oldest.abort()
            self._log_crowd()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        if handler in self._open:
            self._open.pop(handler)[1].cancel()
        super().connection_lost(handler, exc)

    def _log_crowd(self) -> None:
        if self._is_logged:
            return
        self._is_logged = True
        log.warning(
            "more than %d connections to the port of metrics and health: the oldest are closed; let in only the scraper"
            " (COPYTRADE_METRICS_HOST)",
            MAX_CONNECTIONS,
            extra=log_fields(Event.METRICS_CROWDED),
        )


def _server_log() -> logging.Logger:
    """Return a log without what peers do wrong: aiohttp writes an error with a traceback for each malformed request."""
    server_log = logging.getLogger(f"{__name__}.requests")
    server_log.addFilter(_is_own_fault)
    return server_log


def _is_own_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
