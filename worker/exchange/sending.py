"""The write of a request: when it was, and whether it may be. It is the last moment to hold a request back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from worker.clock import Clock


@dataclass(slots=True)
class Sending:
    """A request that is about to be written.

    Attributes:
        clock: measures `sent_s`.
        may_send: asked just before the write.
        sent_s: when the request was written, monotonic clock; None before.
        is_stopped: whether `may_send` said no, so that nothing was written.
    """

    clock: Clock
    may_send: Callable[[], bool]
    sent_s: float | None = None
    is_stopped: bool = False

    def begin(self) -> None:
        """Record the time; what is called next writes.

        Raises:
            aiohttp.ClientConnectionError: the request may not be sent any more. aiohttp closes the connection then.
        """
        if not self.may_send():
            self.is_stopped = True
            raise aiohttp.ClientConnectionError("it may not be sent any more")
        self.sent_s = self.clock.monotonic()


class SendingBody(aiohttp.BytesPayload):
    """The body of a request. aiohttp writes the headers with it, and nothing before."""

    def __init__(self, body: bytes, sending: Sending) -> None:
        super().__init__(body)
        self._sending = sending

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the headers and the body, unless the request may not be sent any more."""
        self._sending.begin()
        await super().write_with_length(writer, content_length)


def trace_of_headers() -> aiohttp.TraceConfig:
    """Return what calls `begin` for requests without a body, whose `Sending` is their `trace_request_ctx`.

    Tracing costs 20 us a request, twice as much as the signature, so that requests with a body do without it.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_begin)  # despite its name it is awaited just before the write
    return trace


async def _begin(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    sending: Sending = context.trace_request_ctx
    sending.begin()
