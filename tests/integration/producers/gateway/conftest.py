"""A gateway without access keys, and the lanes that it fills; its server with another application behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from arq.connections import ArqRedis

from producers import Producer
from producers.gateway.serving.server import GatewayServer
from tests.support.gateway import gateway_on, listening
from tests.support.lanes import Lanes
from tests.support.raw_http import App


@pytest.fixture
async def gateway(valkey_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway without access keys."""
    async with gateway_on(valkey_dsn) as client:
        yield client


@pytest.fixture
def served_lanes(valkey: ArqRedis) -> Lanes:
    """The lanes of the gateway's queue, as a worker sees them."""
    return Lanes(valkey)


@pytest.fixture
async def served_producer(valkey: ArqRedis) -> AsyncIterator[Producer]:
    """A producer of the gateway's queue."""
    async with Producer(valkey) as producer:
        yield producer


@pytest.fixture
async def app() -> App:
    """The application behind the server."""
    return App()


@pytest.fixture
async def server(app: App) -> AsyncIterator[GatewayServer]:
    """A server of at most three calls at a time."""
    async with listening(app, connections=3) as serving:
        yield serving
        app.release.set()
