"""What an overview says of lanes that a pause keeps back."""

from __future__ import annotations

from arq.connections import ArqRedis

from producers import Producer
from tests.support.changes import change
from tests.support.lanes import Lanes


async def test_lanes_that_a_pause_keeps_from_being_sent_are_counted(redis: ArqRedis) -> None:
    """Those of a paused user, and those of a paused trader that were parked; not what is in flight."""
    producer, lanes = Producer(redis), Lanes(redis)
    await producer.enqueue_many([change("1", f"t{number}") for number in range(3)])
    await lanes.claim(1)
    await producer.enqueue_many([change(user, "halted") for user in ("2", "3")])
    await producer.pause(user_id="1")
    await producer.pause(trader_id="halted")
    await lanes.claim(5)

    found = await producer.overview()

    assert (found.paused_lanes, found.in_flight, found.interactive.users) == (2 + 2, 1, 0)
    assert not found.everything_paused
