"""What most tests of the queue begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from producers import Producer
from tests.lanes import Lanes


@pytest.fixture
async def producer(redis: ArqRedis) -> AsyncIterator[Producer]:
    """A producer with the default settings."""
    producer = Producer(redis)
    yield producer
    await producer._listener.close()


@pytest.fixture
def lanes(redis: ArqRedis) -> Lanes:
    """A queue without pacing."""
    return Lanes(redis)
