"""The screens of the whole queue: the overview, and workers, egresses and pauses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from producers import Overview
from producers.gateway.api.operating import require_unbound
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import notice_of
from producers.gateway.console.history import History
from producers.gateway.console.live import Screen

SHARED_S = 1.0
"""How old an overview may be that several tabs share."""


class Watch:
    """The last overview of this process, which all tabs share, and those before it."""

    def __init__(self) -> None:
        self.history = History()
        self._latest: Overview | None = None
        self._read_at_s = 0.0
        self._lock = asyncio.Lock()

    async def latest(self, request: AnyRequest) -> Overview:
        """Return the state of the queue, not much older than a second; after an action, as it is now."""
        shared_s = 0.0 if notice_of(request) is not None else SHARED_S
        async with self._lock:
            if self._latest is None or time.monotonic() - self._read_at_s >= shared_s:
                self._latest = await gateway_of(request).producer.overview()
                self._read_at_s = time.monotonic()
                self.history.add(self._latest)
            return self._latest


def _watch_of(request: AnyRequest) -> Watch:
    state = request.app.state
    if "console_watch" not in state:
        state["console_watch"] = Watch()
    watch: Watch = state["console_watch"]
    return watch


async def _load_overview(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    watch = _watch_of(request)
    overview = await watch.latest(request)
    return {
        "title": "Overview",
        "section": "/",
        "overview": overview,
        "rates": watch.history.rates,
        "use": watch.history.use_per_s(overview),
        "charts": watch.history.charts(),
        "oldest_due_s": max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s),
    }


async def _load_workers(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    watch = _watch_of(request)
    overview = await watch.latest(request)
    return {"title": "Workers", "section": "/workers", "overview": overview, "use": watch.history.use_per_s(overview)}


ROUTES = [
    *Screen("/", "overview.html", _load_overview).routes(),
    *Screen("/workers", "workers.html", _load_workers).routes(),
]
