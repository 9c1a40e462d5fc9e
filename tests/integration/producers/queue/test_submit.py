"""The submit script: accepted once, in order, within limits, and always on the schedule."""

from __future__ import annotations

import math

import pytest

from ops.keys import KEYS
from producers.contract import keyspace
from producers.contract.codec import decode_change
from producers.queue.bucket import LOOK_AHEAD_US
from producers.queue.submit_messages import SubmitVerdict
from tests.support.changes import change
from tests.support.lanes import Lanes

LANE = keyspace.lane("1001", "t1")


async def test_a_change_is_stored_in_its_lane_and_its_lane_on_the_schedule(lanes: Lanes) -> None:
    """One call writes payload, place and due time, and the lane is due at once."""
    before_ms = await lanes.now_ms()

    verdicts = await lanes.submit(("j1", change()))

    assert verdicts == [1]
    assert await lanes.queued(LANE) == ["j1"]
    assert decode_change(await lanes.redis.get(KEYS.job + "j1")).a == (change(),)
    due_ms = await lanes.due_ms(LANE)
    assert due_ms is not None
    assert int(before_ms) <= due_ms <= await lanes.now_ms()


async def test_changes_of_a_lane_keep_the_order_of_their_submission(lanes: Lanes) -> None:
    """Each verdict is a position."""
    first = await lanes.submit(("c", change()), ("a", change()))
    second = await lanes.submit(("b", change()))

    assert (first, second) == ([1, 2], [3])
    assert await lanes.queued(LANE) == ["c", "a", "b"]


async def test_an_id_is_accepted_once_while_it_is_queued(lanes: Lanes) -> None:
    """The first payload stays; other content has a verdict of its own."""
    await lanes.submit(("j1", change(value="1")))

    assert await lanes.submit(("j1", change(value="1"))) == [SubmitVerdict.ALREADY_THERE]
    assert await lanes.submit(("j1", change(value="2"))) == [SubmitVerdict.OTHER_CHANGE]
    assert await lanes.queued(LANE) == ["j1"]
    assert decode_change(await lanes.redis.get(KEYS.job + "j1")).a[0].settings[0].trace_value == "1"


async def test_an_id_is_accepted_once_within_one_call(lanes: Lanes) -> None:
    """A chunk may contain the same ID twice."""
    assert await lanes.submit(("j1", change()), ("j1", change())) == [1, 0]


async def test_an_id_is_accepted_once_for_all_users(lanes: Lanes) -> None:
    """IDs are global; a second lane would get a payload that is not its own."""
    assert await lanes.submit(("j1", change("1")), ("j1", change("2"))) == [1, SubmitVerdict.OTHER_CHANGE]
    assert await lanes.uncovered() == set()


async def test_an_id_is_known_for_as_long_as_its_result(lanes: Lanes) -> None:
    """A submission repeated after the change ended adds nothing."""
    await lanes.submit(("j1", change()))
    await lanes.done(await lanes.claim_one())

    assert await lanes.submit(("j1", change())) == [0]
    assert await lanes.queued(LANE) == []


async def test_a_full_lane_refuses_and_writes_nothing(lanes: Lanes) -> None:
    """Other lanes of the same call accept."""
    verdicts = await lanes.submit(
        ("j1", change()), ("j2", change()), ("j3", change()), ("k1", change(trader="t2")), lane_limit=2
    )

    assert verdicts == [1, 2, -1, 1]
    assert await lanes.queued(LANE) == ["j1", "j2"]
    assert not await lanes.redis.exists(KEYS.job + "j3")


async def test_a_refused_id_may_be_submitted_again(lanes: Lanes) -> None:
    """A refusal for a full lane leaves no trace of the ID."""
    await lanes.submit(("j1", change()), ("j2", change()), lane_limit=1)
    await lanes.done(await lanes.claim_one())

    assert await lanes.submit(("j2", change()), lane_limit=1) == [1]


async def test_every_lane_with_changes_is_on_the_schedule(lanes: Lanes) -> None:
    """Also lanes with separators in their IDs."""
    users = ["1", "1:2", "%", "1%3A2"]
    await lanes.submit(
        *((f"{user}/{trader}/{n}", change(user, trader)) for user in users for trader in users for n in "ab")
    )

    assert await lanes.uncovered() == set()
    assert await lanes.redis.zcard(KEYS.schedule) == len(users)
    counts = [await lanes.redis.zcard(KEYS.lanes + keyspace.escape(user)) for user in users]
    assert counts == [len(users)] * len(users)


async def test_a_lane_that_waits_is_not_brought_forward_by_another_change(lanes: Lanes) -> None:
    """Its score is the back-off of its head, which only a settlement may end."""
    await lanes.submit(("j1", change()))
    await lanes.back(await lanes.claim_one(), 60)
    before = await lanes.due_ms(LANE)

    await lanes.submit(("j2", change()))

    assert await lanes.due_ms(LANE) == before


async def test_one_wakeup_is_pushed_for_any_number_of_new_lanes(lanes: Lanes) -> None:
    """Over two calls, so the list of wake-ups cannot grow."""
    await lanes.submit(("j1", change("1")), ("j2", change("2")))
    await lanes.submit(("j3", change("3")))

    assert await lanes.redis.llen(KEYS.wakeups) == 1  # type: ignore[misc]


async def test_no_wakeup_is_pushed_for_a_lane_that_is_scheduled_already(lanes: Lanes) -> None:
    """Workers know its due time already."""
    await lanes.submit(("j1", change()))
    await lanes.redis.delete(KEYS.wakeups)

    await lanes.submit(("j2", change()))

    assert not await lanes.redis.exists(KEYS.wakeups)


async def test_queued_changes_do_not_expire(lanes: Lanes) -> None:
    """Payload, lane and schedule have no TTL; only a change's own deadline ends it."""
    await lanes.submit(("j1", change()), ("j2", change()))

    for key in (KEYS.job + "j1", KEYS.heads + "1001", KEYS.rest + LANE, KEYS.lanes + "1001", KEYS.schedule):
        assert await lanes.redis.pttl(key) == -1


@pytest.mark.parametrize("first", [1, 2])
async def test_a_new_lane_is_due_at_the_next_slot_of_its_user(timed: Lanes, first: int) -> None:
    """Whether other lanes of the user wait for it or not."""
    await timed.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(first)))
    (claim,) = await timed.claim()

    await timed.submit(("new", change(trader="new")))

    tat_us = (await timed.bucket("1001")).tat
    assert tat_us > await timed.slot_us(claim)
    assert await timed.due_ms(keyspace.lane("1001", "new")) == math.ceil((tat_us - LOOK_AHEAD_US) / 1000)
