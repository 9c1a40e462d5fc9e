"""Reads the exchange double's record, and Redis's counters."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import cast
from urllib.parse import quote

import aiohttp
import msgspec
from redis.asyncio import Redis
from yarl import URL

from ops.exchange import Arrival
from ops.ledger.evidence import Lane
from ops.stack import Stack
from producers.transport.clients import keyspace_of


async def read_arrivals(stack: Stack) -> list[Arrival]:
    """Return the requests that the double saw, in order."""
    return [msgspec.convert(arrival, Arrival) for arrival in await stack.arrivals()]


async def read_counters(redis: Redis) -> dict[str, int]:
    """Return the finished changes by outcome, as Redis counts them."""
    counters = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keyspace_of(redis).counts))
    return {name.decode(): int(count) for name, count in counters.items()}


async def read_final_settings(exchange_url: str, users: Iterable[str]) -> dict[tuple[Lane, str], dict[str, str]]:
    """Return the setting that the double holds for each lane and symbol of some users."""
    held = {}
    async with aiohttp.ClientSession() as http:
        for user in users:
            url = URL(f"{exchange_url}/_double/settings/{quote(user, safe='')}", encoded=True)
            async with http.get(url) as response:
                for trader, settings in (await response.json()).items():
                    for setting in settings:
                        held[(user, trader), setting["symbol"]] = setting
    return held
