"""`python -m ops.bench.bare_loop URL COUNT`: posts signed requests, nothing else; prints requests a second."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import aiohttp

from ops.bench.lab import change
from worker.credentials.model import Credentials
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, encode_body
from worker.exchange.signing import headers
from worker.secret import Secret

AT_ONCE = 64


async def post(url: str, count: int) -> float:
    """Requests a second, of `count` requests of as many users, 64 at once."""
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        started_s = time.perf_counter()
        await asyncio.gather(*(_post_some(session, url, numbers) for _ in range(AT_ONCE)))
        return count / (time.perf_counter() - started_s)


async def _post_some(session: aiohttp.ClientSession, url: str, numbers: Iterator[int]) -> None:
    for number in numbers:
        user = f"u{number}"
        credentials = Credentials(
            user_id=user,
            api_key=Secret(f"key-{user}"),
            secret_key=Secret(f"secret-{user}"),
            passphrase=Secret(f"pass-{user}"),
        )
        body = encode_body(change(user))
        signed = headers(credentials, time.time_ns() // 1_000_000, METHOD, SETTINGS_PATH, body)
        async with session.post(url + SETTINGS_PATH, data=body, headers=signed) as response:
            await response.read()
            if response.status != 200:
                raise RuntimeError(f"the double answered {response.status} to user {user}")


if __name__ == "__main__":
    print(asyncio.run(post(sys.argv[1], int(sys.argv[2]))))
