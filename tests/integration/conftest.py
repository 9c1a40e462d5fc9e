"""What most tests of the queue start with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from producers import Producer
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock


@pytest.fixture
async def producer(redis: ArqRedis) -> AsyncIterator[Producer]:
    """A producer with the default settings."""
    producer = Producer(redis)
    yield producer
    await producer.close()


@pytest.fixture
def lanes(redis: ArqRedis) -> Lanes:
    """A queue without pacing."""
    return Lanes(redis)


@pytest.fixture
async def timed(fake_redis: ArqRedis, clock: ManualClock) -> Lanes:
    """A queue of ten requests a second and user, whose clock the test moves; its worker has seen it run for a while."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    await lanes.claims()
    clock.advance(2)
    return lanes


@pytest.fixture
def steering(timed: Lanes) -> Producer:
    """A producer on the same Redis."""
    return Producer(timed.redis)
