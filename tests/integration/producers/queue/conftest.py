"""What tests of the producers' queue start with."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock


@pytest.fixture
async def timed(fake_redis: ArqRedis, clock: ManualClock) -> Lanes:
    """A queue whose clock the test moves, on fakeredis: pipelines of producers ask a real server for its own time."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    await lanes.claims()
    clock.advance(2)
    return lanes
