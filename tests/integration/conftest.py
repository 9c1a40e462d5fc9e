"""What most tests of the queue start with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from producers import Producer
from producers.transport.dsn import open_redis
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import ClockedRedis


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
async def timed(valkey_dsn: str, clock: ManualClock) -> AsyncIterator[Lanes]:
    """A queue of ten requests a second and user, whose clock the test moves; its worker has seen it run for a while."""
    redis = open_redis(valkey_dsn, ClockedRedis, timeout_s=5)
    redis.follow(clock)
    lanes = Lanes(redis, clock=clock, pacing=PACING)
    await lanes.claims()
    clock.advance(2)
    yield lanes
    await redis.aclose()


@pytest.fixture
def steering(timed: Lanes) -> Producer:
    """A producer on the same Redis."""
    return Producer(timed.redis)
