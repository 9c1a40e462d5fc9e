"""A gateway that serves on a free port in this process, and what is sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from redis.asyncio import Redis

from producers import SettingsChange
from producers.contract.access_keys import AccessKey, Scope, digest_of, new_key
from producers.gateway import GatewaySettings, create_app
from producers.gateway.serving.server import GatewayServer, server
from producers.queue.access_keys import add_key
from producers.transport.clients import keyspace_of
from producers.transport.runner import execute
from tests.support.changes import change, setting

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
NDJSON, CSV = "application/x-ndjson", "text/csv"
SETTINGS = msgspec.json.encode([setting()]).decode()


@asynccontextmanager
async def gateway_on(dsn: str, *, auth: bool = False, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway meanwhile; yield a client of it."""
    app = create_app(GatewaySettings(redis_dsn=dsn, gateway_auth=auth, **settings))
    async with served(app) as client:
        yield client


@asynccontextmanager
async def served(app: AsgiApp, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an application meanwhile; yield a client of it."""
    async with (
        listening(app, **options) as serving,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_of(serving)}", timeout=20) as client,
    ):
        yield client


@asynccontextmanager
async def listening(app: AsgiApp, connections: int = 1000, **options: Any) -> AsyncIterator[GatewayServer]:
    """Serve an application meanwhile, as `copytrade serve` does; yield the server."""
    serving = server(app, connections=connections, timeout_graceful_shutdown=1, **options)
    task = asyncio.create_task(serving._serve())
    while not serving.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield serving
    finally:
        serving.should_exit = True
        await task


def port_of(serving: GatewayServer) -> int:
    """Return the port that a server listens on."""
    port: int = serving.servers[0].sockets[0].getsockname()[1]
    return port


def body(one: SettingsChange | None = None, **changed: Any) -> dict[str, Any]:
    """Return a change as a program sends it, with some fields changed."""
    fields: dict[str, Any] = msgspec.to_builtins(one or change())
    return fields | changed


async def shown(gateway: httpx.AsyncClient, path: str, **params: str) -> str:
    """Return a page of the console."""
    answer = await gateway.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


async def page_after(gateway: httpx.AsyncClient, action: httpx.Response) -> str:
    """Return the page to which an action leads, as it is after that action and no other."""
    gateway.cookies.extract_cookies(action)
    answer = await gateway.get(action.headers["Location"])
    assert answer.status_code == 200, answer.text
    return answer.text


def lines(*rows: object) -> bytes:
    """Return rows as NDJSON."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


async def access_key(redis: Redis, *scopes: Scope, **fields: Any) -> str:
    """Store an access key and return its text."""
    made = new_key()
    key = AccessKey(
        key_id=made.key_id, name="a test's", digest=digest_of(made.text), scopes=frozenset(scopes), **fields
    )
    await execute(redis, add_key(keyspace_of(redis), key))
    return made.text


def bearer(text: str) -> dict[str, str]:
    """Return the header of an access key."""
    return {"Authorization": f"Bearer {text}"}
