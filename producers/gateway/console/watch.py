"""The overview that all tabs share, so that many of them cost Redis no more than one."""

from __future__ import annotations

import asyncio
import time

from producers import Overview, Producer
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
        self._reading: asyncio.Task[Overview] | None = None

    async def latest(self, request: AnyRequest) -> Overview:
        """Return the state of the queue, not much older than a second; after an action, as it is now.

        Tabs that ask at the same time wait for one read, and are told together if it fails.
        """
        producer = gateway_of(request).producer
        if notice_of(request) is not None:
            return await self._read(producer)
        if self._latest is not None and time.monotonic() - self._read_at_s < SHARED_S:
            return self._latest
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(producer), name="console overview")
            self._reading.add_done_callback(self._forget_reading)
        return await asyncio.shield(self._reading)  # a tab that is closed does not end the read of the others

    async def _read(self, producer: Producer) -> Overview:
        self._latest = await producer.overview()
        self._read_at_s = time.monotonic()
        self.history.add(self._latest)
        return self._latest

    def _forget_reading(self, reading: asyncio.Task[Overview]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # else asyncio logs it if all tabs are closed


def watch_of(request: AnyRequest) -> Watch:
    """Return the watch of this process."""
    state = request.app.state
    if "console_watch" not in state:
        state["console_watch"] = Watch()
    watch: Watch = state["console_watch"]
    return watch
