"""The job that every peer does with a change: build the body, sign it, post it, read the reply, return a result.

It needs aiohttp and msgspec only, in the versions of this project's lock, and nothing of the project. A change arrives
as the JSON that this project's producers accept, so that each queue stores and carries the whole of it.
"""

from __future__ import annotations

import hmac
import os
import time
from base64 import b64encode
from typing import Any

import aiohttp
import msgspec

PATH = "/api/v2/copy/mix-follower/settings"


class Setting(msgspec.Struct, rename="camel", omit_defaults=True):
    """The settings of one trading pair, in the order of the exchange's documentation."""

    symbol: str
    product_type: str
    margin_type: str
    margin_coin: str
    lever_type: str
    trace_type: str
    trace_value: str
    max_hold_size: str


class Change(msgspec.Struct, rename="camel"):
    """A change, as it is enqueued."""

    user_id: str
    trader_id: str
    settings: list[Setting]


class Body(msgspec.Struct, rename="camel"):
    """The body of a request."""

    trader_id: str
    settings: list[Setting]


class Reply(msgspec.Struct):
    """What is read of a reply."""

    code: str
    msg: str
    data: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reply).decode


class Exchange:
    """The exchange double, through one session. Make it within a running event loop.

    Attributes:
        url: of the double; by default from the environment variable PEERS_EXCHANGE_URL.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = (url or os.environ["PEERS_EXCHANGE_URL"]) + PATH
        # As this project's: a connection for each job at once, and no cookies.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def apply(self, change: dict[str, Any]) -> dict[str, Any]:
        """Send a change and return its result: `applied`, and the reply's `status`, `code` and `message`.

        A reply of any kind is a result; what it is worth is the caller's to decide.

        Args:
            change: as the JSON of `Change`.

        Raises:
            aiohttp.ClientError: there was no reply.
            msgspec.MsgspecError: the change or the reply is malformed.
        """
        wanted = msgspec.convert(change, Change)
        body = _encode(Body(wanted.trader_id, wanted.settings))
        async with self._session.post(self.url, data=body, headers=_headers(wanted.user_id, body)) as response:
            reply = _decode(await response.read())
        applied = reply.code == "00000" and reply.data != "fail"
        return {"applied": applied, "status": response.status, "code": reply.code, "message": reply.msg}

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


def _headers(user: str, body: bytes) -> dict[str, str]:
    """Return the headers of a request, signed now; the double's users have keys that derive from their IDs."""
    timestamp_ms = str(time.time_ns() // 1_000_000)
    signed = f"{timestamp_ms}POST{PATH}".encode() + body
    return {
        "ACCESS-KEY": f"key-{user}",
        "ACCESS-SIGN": b64encode(hmac.digest(f"secret-{user}".encode(), signed, "sha256")).decode(),
        "ACCESS-PASSPHRASE": f"pass-{user}",
        "ACCESS-TIMESTAMP": timestamp_ms,
        "locale": "en-US",
        "Content-Type": "application/json",
    }
