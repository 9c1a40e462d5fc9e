"""A browser of the console, without Chromium: a client that keeps cookies."""

from __future__ import annotations

from typing import Any

import httpx
from redis.asyncio import Redis

from producers.contract.access_keys import Scope
from producers.gateway.console.cookies import Kind, cookie_name
from tests.support.gateway import access_key

LINK_TOKEN = "once-" + "a" * 38
HOST = "gateway.example:8321"
"""As the browser calls the gateway."""

SESSION = cookie_name(Kind.SESSION, HOST)


async def sign_in(browser: httpx.AsyncClient, redis: Redis, *scopes: Scope, **fields: Any) -> str:
    """Sign in with a new access key, and return it."""
    key = await access_key(redis, *scopes, **fields)
    answer = await browser.post("/sign-in", data={"key": key})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    return key
