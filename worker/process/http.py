"""The HTTP server of a worker process: its metrics and its health. Needs the extra [metrics].

Whether the worker lives does not depend on this server: a port that is taken is logged once and tried again, and its
connections are few and short (worker/process/http_connections.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from aiohttp import web

from producers.monitor.exposition import MEDIA_TYPE, exposition
from producers.monitor.instruments import Family
from producers.transport.cancellation import cancel_and_wait
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.process.http_connections import BACKLOG, FewConnections

LISTEN_RETRY_S = 10.0
"""Pause before a port that cannot be used is tried again: the process that has it may be about to end."""

SHUTDOWN_S = 0.5
"""How long a stopping worker waits for replies that are being written."""

Reasons = Callable[[], Mapping[str, str]]

log = logging.getLogger(__name__)

_compact = partial(json.dumps, separators=(",", ":"))  # as the gateway answers


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    *,
    metrics: Iterable[Family],
    unready_reasons: Reasons,
    degraded: Reasons = dict,
    clock: Clock,
) -> AsyncIterator[None]:
    """Serve `/metrics`, `/livez` and `/readyz` meanwhile.

    Args:
        host: name or address to listen on.
        port: the port.
        metrics: what `/metrics` shows.
        unready_reasons: returns why the worker is not ready, by the part that is not; empty if it is.
        degraded: returns what does not work although the worker may be ready.
        clock: sleeps.
    """
    runner = web.ServerRunner(FewConnections(_answers(metrics, unready_reasons, degraded)), shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    listening = asyncio.create_task(_listen(runner, host, port, clock), name="copytrade metrics")
    try:
        yield
    finally:
        await cancel_and_wait(listening)
        await runner.cleanup()


def _answers(
    metrics: Iterable[Family], unready_reasons: Reasons, degraded: Reasons
) -> Callable[[web.BaseRequest], web.Response]:
    def scrape() -> web.Response:
        return web.Response(body=exposition(metrics), headers={"Content-Type": MEDIA_TYPE})

    def livez() -> web.Response:
        return web.json_response({"status": "ok"}, dumps=_compact)

    def readyz() -> web.Response:
        reasons, broken = dict(unready_reasons()), dict(degraded())
        content = {"ready": not reasons, "reasons": reasons} | ({"degraded": broken} if broken else {})
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return web.json_response(content, status=status, dumps=_compact)

    answers = {"/metrics": scrape, "/livez": livez, "/readyz": readyz}

    def answer(request: web.BaseRequest) -> web.Response:
        if request.path not in answers:
            return web.Response(text=f"served: {', '.join(answers)}\n", status=HTTPStatus.NOT_FOUND)
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        return answers[request.path]()

    return answer


async def _listen(runner: web.ServerRunner, host: str, port: int, clock: Clock) -> None:
    """Listen; if that fails, log it once and try again until it succeeds."""
    is_logged = False
    while True:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as exc:
            await site.stop()
            if not is_logged:
                is_logged = True
                extra = log_fields(Event.METRICS_NOT_SERVED)
                reason = exc.strerror or type(exc).__name__
                log.warning(
                    "metrics and health are not served, port %d of %s cannot be used: %s; it is tried again every %g s",
                    port,
                    host,
                    reason,
                    LISTEN_RETRY_S,
                    extra=extra,
                )
            await clock.sleep(LISTEN_RETRY_S)
        else:
            log.info("serving metrics and health on %s", site.name, extra=log_fields(Event.METRICS_SERVED))
            return
