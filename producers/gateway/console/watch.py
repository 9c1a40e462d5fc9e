"""The overview that all tabs share, so that many of them cost Redis no more than one."""

from __future__ import annotations

import asyncio
import time

from producers import Overview
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import notice_of
from producers.gateway.console.history import History

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


def watch_of(request: AnyRequest) -> Watch:
    """Return the watch of this process."""
    state = request.app.state
    if "console_watch" not in state:
        state["console_watch"] = Watch()
    watch: Watch = state["console_watch"]
    return watch
