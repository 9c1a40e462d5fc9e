"""Connections that wait on the server: blocking reads, and subscriptions of waiting threads.

They take at most half of a client's connections, so that commands find one. Who gets none looks at intervals instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLOCKED_PAUSE_S = 0.5
"""How long a caller that may not block pauses before it looks again."""


@contextmanager
def blocking_share(redis: Any) -> Iterator[bool]:
    """Take one of a client's connections that may block, if one is left. Yield whether there was one.

    A client that the caller made has its own bound, if any.
    """
    share = getattr(redis.connection_pool, "blocking_share", None)
    if share is None:
        yield True
    elif share.acquire(blocking=False):
        try:
            yield True
        finally:
            share.release()
    else:
        yield False
