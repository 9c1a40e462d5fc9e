"""Screens: pages whose content changes by itself, through an event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from producers.contract.access_keys import Scope
from producers.errors import ProducerError
from producers.gateway.api.results import KEEP_ALIVE_S
from producers.gateway.calls.problems import GatewayError, of_gateway_error, of_producer_error
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.calls.streams import event_stream
from producers.gateway.console.actions import notice_of
from producers.gateway.console.assets import VERSION
from producers.gateway.console.cookies import Kind, ended_cookie
from producers.gateway.console.rendering import link, render, render_content
from producers.gateway.console.sessions import is_signed_in

INTERVAL_S = 2.0
"""How often a screen looks for changes: most take some ten commands, so a tab costs Redis some five a second."""

RELOAD = b"event: reload\ndata: the console has changed, or the session has ended\n\n"
"""Makes a page load itself again: it is then led to the sign-in page, or is of this version."""

TRIES_AGAIN = "The page tries again by itself."

Load = Callable[[AnyRequest], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Screen:
    """A page whose content is sent again when it has changed.

    Attributes:
        path: its path.
        template: its template.
        load: returns the values of the template, its title among them.
        parameters: the names of the query's parameters that select what it shows.
        interval_s: how often it looks for changes.
    """

    path: str
    template: str
    load: Load
    parameters: tuple[str, ...] = ()
    interval_s: float = INTERVAL_S

    def routes(self) -> list[HTTPRouteHandler]:
        """Return the routes of the page and of its event stream."""

        @get(self.path, opt={"page": Scope.READ}, include_in_schema=False, name=f"page {self.path}")
        async def page(request: AnyRequest) -> Response[Any]:
            notice = notice_of(request)
            values = {"live": self._live_link(request), "notice": notice}
            response = render(request, self.template, {**await self.load(request), **values})
            if notice is not None:
                response.set_cookie(ended_cookie(request, Kind.NOTICE, self.path))
            return response

        @get(f"{self.path.rstrip('/')}/live", opt={"page": Scope.READ, "stream": True}, include_in_schema=False)
        async def live(request: AnyRequest) -> Stream:
            return await event_stream(gateway_of(request), self._events(request))

        return [page, live]

    def _live_link(self, request: AnyRequest) -> str:
        given = {name: request.query_params.get(name) for name in self.parameters}
        return link(request, f"{self.path.rstrip('/')}/live", **given, version=VERSION)

    async def _events(self, request: AnyRequest) -> AsyncGenerator[bytes, None]:
        shown, quiet_s = "", 0.0
        while True:
            if request.query_params.get("version") != VERSION or not await is_signed_in(request):
                yield RELOAD
                return
            text = await self._fragment(request)
            if text != shown:
                shown, quiet_s = text, 0.0
                yield _event(text)
            elif quiet_s >= KEEP_ALIVE_S:
                quiet_s = 0.0
                yield b": nothing new\n\n"
            await asyncio.sleep(self.interval_s)
            quiet_s += self.interval_s

    async def _fragment(self, request: AnyRequest) -> str:
        try:
            return render_content(request, self.template, await self.load(request))
        except ProducerError as exc:
            problem = of_producer_error(exc, TRIES_AGAIN)
        except GatewayError as exc:
            problem = of_gateway_error(exc)
        return render_content(request, "error.html", {"title": problem.title, "message": problem.detail})


def _event(text: str) -> bytes:
    return ("".join(f"data: {line}\n" for line in text.splitlines()) + "\n").encode()
