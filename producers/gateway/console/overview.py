"""The screens of the whole queue: the overview, and workers, egresses and pauses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producers.gateway.api.operating import require_unbound
from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.live import Screen
from producers.gateway.console.watch import watch_of


async def _load_overview(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    watch = watch_of(request)
    overview = await watch.latest(request)
    return {
        "title": "Overview",
        "section": "/",
        "overview": overview,
        "rates": watch.history.rates,
        "use": watch.history.use_per_s,
        "charts": watch.history.charts(),
        "oldest_due_s": max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s),
    }


async def _load_workers(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    watch = watch_of(request)
    overview = await watch.latest(request)
    return {"title": "Workers", "section": "/workers", "overview": overview, "use": watch.history.use_per_s}


ROUTES = [
    *Screen("/", "overview.html", _load_overview).routes(),
    *Screen("/workers", "workers.html", _load_workers).routes(),
]
