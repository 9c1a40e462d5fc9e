"""A request that the exchange refused because of a limit: an error, so that the peer's own means of retrying see it.

Peers without a limit of their own send all at once, and retry what was refused after two seconds, as often as need be.
That is twice the exchange's window: it counts refused requests, too, so after one second it may still be full of them,
and goes on to be. Delays that grow, with jitter, were tried once: with them saq meets fewer refusals (1,600 instead of
4,100) and takes as long; taskiq and streaq, whose delays grow in other ways, pause so long that the load ends before.
"""

from __future__ import annotations

from typing import Any

from job import Exchange
from protocol import Change

RETRY_S = 2
MAX_TRIES = 100
TOO_MANY_REQUESTS = 429


class ThrottledError(Exception):
    """The exchange answered 429."""


async def apply_or_raise(exchange: Exchange, change: Change) -> dict[str, Any]:
    """Do the job.

    Raises:
        ThrottledError: the exchange answered 429.
    """
    result = await exchange.apply(change)
    if result["status"] == TOO_MANY_REQUESTS:
        raise ThrottledError(result["message"])
    return result
