"""Replies on the wire: their headers and bytes, how faults change them, and how they are sent."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from ops.exchange.faults import Fault
from ops.exchange.verdicts import accept, encode_reply

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}

MANY_HEADERS = {f"X-Header-{number}": "x" for number in range(900)} | {"X-Long": "x" * 60_000}
CHARSETS = {"bom": "utf-8-sig", "utf_16": "utf-16"}
GZIP_NAMES = {"gzip": "gzip", "x_gzip": "x-gzip"}


class WireReply(NamedTuple):
    """A reply on the wire.

    Attributes:
        status: HTTP status; 0 aborts the connection.
        headers: its headers.
        body: its body.
        cut: end the connection in the middle of the body.
        unsolicited: a second body, sent on the same connection as a reply to nothing; None for none.
        unsolicited_after_s: how much later.
    """

    status: int
    headers: Mapping[str, str] = JSON
    body: bytes = b""
    cut: bool = False
    unsolicited: bytes | None = None
    unsolicited_after_s: float = 0.0


ABORT = WireReply(0)


def rewrite(fault: Fault | None, reply: WireReply, now_ms: int) -> WireReply:
    """Return a reply as a fault hides or rewrites it; `now_ms` is the exchange's time."""
    kind = "" if fault is None else fault.kind
    if fault is not None and kind == "unsolicited":
        extra = encode_reply(accept("success"), now_ms)
        return reply._replace(unsolicited=extra, unsolicited_after_s=fault.ms / 1000)
    if kind in CHARSETS:
        return reply._replace(body=reply.body.decode().encode(CHARSETS[kind]))
    if kind in GZIP_NAMES:
        encoding = {"Content-Encoding": GZIP_NAMES[kind]}
        return reply._replace(headers={**reply.headers, **encoding}, body=gzip.compress(reply.body))
    match kind:
        case "empty":
            return WireReply(200)
        case "cut":
            return reply._replace(cut=True)
        case "reset_after":
            return ABORT
        case "big_head":
            return reply._replace(headers={**reply.headers, **MANY_HEADERS})
        case _:
            return reply


async def send(request: web.BaseRequest, reply: WireReply) -> web.StreamResponse:
    """Send a reply to a request."""
    transport = request.transport
    if reply.status == 0:
        if transport is not None:
            transport.abort()
        return web.Response()  # aiohttp requires a response; there is no connection to write it to
    if not reply.cut and reply.unsolicited is None:
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    if reply.cut:
        await response.write(reply.body[: len(reply.body) // 2])
        if transport is not None:
            transport.close()
        return response
    await response.write_eof(reply.body)
    if reply.unsolicited is not None and transport is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(reply.unsolicited)}\r\n\r\n"
        extra = head.encode() + reply.unsolicited
        if reply.unsolicited_after_s:
            asyncio.get_running_loop().call_later(reply.unsolicited_after_s, _write, transport, extra)
        else:  # now: after the next request on this connection, nobody could tell it from that one's reply
            _write(transport, extra)
    return response


def _write(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
