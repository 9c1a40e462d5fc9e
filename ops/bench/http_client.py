"""A gateway process without access keys, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from ops.bench.environment import TIMEOUT_S
from ops.serving import serving


@asynccontextmanager
async def calling(redis_dsn: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the queue meanwhile; yield a client of the gateway."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        serving(redis_dsn, "--no-auth") as gateway,
        aiohttp.ClientSession(gateway.url, connector=connector, timeout=timeout) as http,
    ):
        yield http
