"""What a shard says that it has for an egress to send."""

from __future__ import annotations

from redis.asyncio import Redis

from ops.keys import KEYS
from producers import Priority
from tests.support.changes import change
from tests.support.lanes import Lanes
from worker.queue.share_exchange import SAMPLE, DemandReply, DemandRequest, fetch_demand

USER_REQUESTS = 10


async def demand(redis: Redis) -> DemandReply:
    return await fetch_demand(redis, DemandRequest("default", USER_REQUESTS))


async def test_it_is_the_changes_of_due_users_but_of_each_no_more_than_it_may_send(lanes: Lanes) -> None:
    """User 1 has three changes in two lanes, user 2 has more than it may send in one, user 3 in many."""
    await lanes.submit(*((f"a{n}", change("1", f"t{n % 2}")) for n in range(3)))
    await lanes.submit(*((f"b{n}", change("2")) for n in range(25)))
    await lanes.submit(*((f"c{n}", change("3", f"t{n}")) for n in range(12)), priority=Priority.BULK)

    found = await demand(lanes.redis)

    assert (found.interactive, found.bulk, found.taken) == (3 + USER_REQUESTS, USER_REQUESTS, 0)


async def test_the_first_of_many_users_stand_for_all(lanes: Lanes) -> None:
    """Each has two changes."""
    users = 3 * SAMPLE
    await lanes.submit(*((f"{user}-{n}", change(str(user))) for user in range(users) for n in range(2)))

    assert (await demand(lanes.redis)).interactive == 2 * users


async def test_users_that_are_not_due_count_for_nothing(lanes: Lanes) -> None:
    """Their change is in flight, or waits for another try."""
    await lanes.submit(("a", change("1")), ("b", change("2")))
    first, second = await lanes.claim()
    await lanes.back(second, 60)

    assert (await demand(lanes.redis)).interactive == 0
    await lanes.done(first)


async def test_keys_of_a_wrong_type_count_as_nothing(lanes: Lanes) -> None:
    """The others are counted."""
    await lanes.submit(("a", change("1")), ("b", change("2")))
    await lanes.redis.set(KEYS.heads + "1", "x")
    await lanes.redis.set(KEYS.bulk_schedule, "x")

    found = await demand(lanes.redis)

    assert (found.interactive, found.bulk) == (1, 0)
