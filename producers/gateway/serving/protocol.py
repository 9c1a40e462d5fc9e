"""HTTP/1 of the gateway's server: uvicorn's protocol with limits of size, time and number that uvicorn does not have.

A peer that is slow with its head, its body or its reading is cut off, and an idle connection gives way to a new one, so
that no number of slow peers keeps others out. What is not HTTP/1 gets a problem, and the connection is closed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from litestar.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from producers.gateway.serving.heads import MAX_HEAD_BYTES, head_refusal, head_too_large, refusal_of, response_to
from producers.gateway.serving.http_1_0 import sending_without_chunks
from producers.gateway.serving.pace import CountedWrites, Progress

HEAD_S = 10.0
"""How long a head may take from its first byte, and a new connection until its first byte."""

KEEP_ALIVE_S = 30.0
"""How long a connection may be idle between calls. nginx keeps its own to an upstream for 60 s, and repeats."""

BODY_S, BODY_BYTES = 20.0, 10_000
"""A body must bring so many bytes in so many seconds: 500 a second, as mod_reqtimeout of Apache asks for by default."""

DRAIN_S = 10.0
"""How long the rest of a body is read that nobody wants, since the call has its answer: a caller that is still writing
would lose the answer if the connection were closed at once."""

LINGER_S = 3.0
"""How long a connection stays open for its peer to read why it was refused."""

ANSWER_S, ANSWER_BYTES = 30.0, 15_000
"""A peer must take so many bytes in so many seconds of an answer that waits for it: 500 a second, as of a body."""

_UPGRADE = (b"upgrade", b"http2-settings")


class Connections(ServerState):
    """The connections of a server.

    Attributes:
        limit: how many calls are served at once, each on its connection.
        waiting: the connections without a call under way, those that wait longest first.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.waiting: dict[GatewayProtocol, None] = {}


class GatewayProtocol(HttpToolsProtocol):
    """One connection."""

    server_state: Connections
    transport: CountedWrites  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline_s: float | None = None  # of the head that is awaited, or of what remains of a refused body
        self._overhead_bytes = 0  # received since the last byte of a body, or the last end of a head or message
        self._body_bytes = 0
        self._has_call = False
        self._is_receiving = False  # between the end of a head and the end of its message
        self._is_refused = False
        self._body = Progress()
        self._answer = Progress()

    def check(self, now_s: float) -> None:
        """End the connection if its peer lets it wait for too long. Called each second, with the loop's time."""
        if self._deadline_s is not None and now_s > self._deadline_s:
            if self._is_refused or self._is_receiving or not self._overhead_bytes:
                self.transport.close()
            else:
                self._refuse(refusal_of(HTTPStatus.REQUEST_TIMEOUT, f"the head did not come within {HEAD_S:g} s"))
        elif self._is_receiving and not self.cycle.response_complete:
            if self.flow.read_paused:
                self._body.since_s = now_s
            elif self._body.stalled_s(now_s, self._body_bytes, BODY_BYTES) > BODY_S:
                rule = f"the body must bring {BODY_BYTES:,} bytes in {BODY_S:g} s at least"
                self._refuse(refusal_of(HTTPStatus.REQUEST_TIMEOUT, rule))
        if not self.transport.get_write_buffer_size():
            self._answer.since_s = now_s
        if self._answer.stalled_s(now_s, self.transport.sent_bytes, ANSWER_BYTES) > ANSWER_S:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the connection that waits longest give way if there are too many."""
        super().connection_made(CountedWrites(transport))  # type: ignore[arg-type]  # it has all of a transport
        self._answer.since_s = self.loop.time()
        waiting = self.server_state.waiting
        if len(self.connections) > self.server_state.limit and waiting:
            oldest = next(iter(waiting))
            del waiting[oldest]
            self.connections.discard(oldest)  # before it hears that it is lost, when many come at once
            oldest.transport.abort()
        self._await_head(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.server_state.waiting.pop(self, None)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection as soon as no answer is due."""
        if self._is_refused:
            self.transport.close()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse what is not HTTP."""
        if self._is_refused:
            return
        self._overhead_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._continue_without_upgrade(data[exc.args[0] :])
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            self._refuse(cause if isinstance(cause, HTTPException) else refusal_of(HTTPStatus.BAD_REQUEST, f"{exc}"))
        else:
            if self._overhead_bytes > MAX_HEAD_BYTES:
                self._refuse(head_too_large())

    def on_message_begin(self) -> None:
        """Give the head its time."""
        super().on_message_begin()
        self._deadline_s = self.loop.time() + HEAD_S

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; leave out a trailer, which would count as one."""
        if not self._is_receiving:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the call, unless its head is refused. One that asks for another protocol begins without that."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return
        refusal = head_refusal(self.parser.get_http_version(), self.parser.get_method(), self.url, self.headers)
        if refusal is None and len(self.connections) > self.server_state.limit:
            refusal = refusal_of(
                HTTPStatus.SERVICE_UNAVAILABLE, "all connections of this process have a call under way"
            )
        if refusal is not None:
            raise refusal
        self.server_state.waiting.pop(self, None)
        self._deadline_s, self._overhead_bytes = None, 0
        self._is_receiving, self._body_bytes = True, 0
        self._body = Progress(self.loop.time())
        super().on_headers_complete()
        self._has_call = True
        if self.parser.get_http_version() == "1.0":
            self.cycle.send = sending_without_chunks(self.cycle)  # type: ignore[assignment, method-assign]

    def on_body(self, body: bytes) -> None:
        """Count what came."""
        self._overhead_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Await the next head, if the call has its answer."""
        if not self._is_receiving:
            return
        self._is_receiving, self._overhead_bytes = False, 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._deadline_s = None
            self._await_head(KEEP_ALIVE_S)

    def on_response_complete(self) -> None:
        """Await the rest of the body or the next head, if no further call has begun."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head(DRAIN_S if self._is_receiving else KEEP_ALIVE_S)

    def _await_head(self, time_s: float) -> None:
        self.server_state.waiting[self] = None
        if self._deadline_s is None:  # otherwise a head is coming in
            self._deadline_s = self.loop.time() + time_s

    def _continue_without_upgrade(self, rest: bytes) -> None:
        """Parse the head again without the wish for another protocol: the parser skips the body of such a call.

        Java's HttpClient asks every server for HTTP/2 in this way, with the body already behind it.
        """
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                kept = [option for option in value.split(b",") if option.strip().lower() not in _UPGRADE]
                head += [name, b": ", b",".join(kept), b"\r\n"]
            elif name not in _UPGRADE:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    def _refuse(self, refusal: HTTPException) -> None:
        """Answer with a problem and take nothing more. Calls before this one get their answers first."""
        self._is_refused = True
        if self._has_call and not self.cycle.response_complete:
            if not self._is_receiving:
                self.cycle.keep_alive = False
                return
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # the call waits for the rest of its body
            self.cycle.message_event.set()
        elif self._is_receiving:  # the rest of a body whose call has its answer
            self.transport.close()
            return
        self.transport.write(response_to(refusal, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline_s = self.loop.time() + LINGER_S
        self.server_state.waiting[self] = None
