"""A gateway without access keys, and the lanes that it fills."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from arq.connections import ArqRedis

from producers import Producer
from tests.support.gateway import gateway_on
from tests.support.lanes import Lanes


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
