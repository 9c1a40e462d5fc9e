"""What tests of sessions start with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from producers.transport.dsn import open_redis
from tests.support.lanes import UNHINDERED, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import TimedRedis


@pytest.fixture
async def served(valkey_dsn: str, clock: ManualClock) -> AsyncIterator[Lanes]:
    """A queue on a real server that has the test's time."""
    redis = open_redis(valkey_dsn, TimedRedis, timeout_s=5)
    await redis.set_time(clock.now_us)
    yield Lanes(redis, clock=clock, pacing=UNHINDERED)
    await redis.aclose()
