"""`python -m ops.bench.http_baseline URL COUNT`: post signed requests, nothing else; print requests a second."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import aiohttp

from ops.bench.environment import change
from worker.credentials.model import Credentials
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, encode_body
from worker.exchange.signing import headers
from worker.secret import Secret

CONCURRENCY = 64


async def post(url: str, count: int) -> float:
    """Return the requests a second of `count` requests, each of another user, 64 at a time."""
    numbers = iter(range(count))
    async with _session() as session:
        started_s = time.perf_counter()
        await asyncio.gather(*(_post_next(session, url, numbers) for _ in range(CONCURRENCY)))
        return count / (time.perf_counter() - started_s)


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def _post_next(session: aiohttp.ClientSession, url: str, numbers: Iterator[int]) -> None:
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
