"""The status of a user: lanes, rate, pause and hold."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import InvalidId, LaneStatus, Priority, Producer, UserStatus
from tests.support.changes import change
from tests.support.contents import contents
from tests.support.lanes import Lanes


async def test_an_unknown_user_has_no_lanes(producer: Producer, redis: ArqRedis) -> None:
    """It is not an error, and asking writes nothing; a malformed ID is an error."""
    assert await producer.user_status("nobody") == UserStatus("nobody", False, None, 0.0, 1.0, None, [])
    with pytest.raises(InvalidId):
        await producer.user_status("a b")

    assert await contents(redis) == {}


@pytest.mark.parametrize("user", ["1001", "a:b", "100%"])
async def test_each_lane_is_shown_with_its_head_and_its_state(producer: Producer, lanes: Lanes, user: str) -> None:
    """In flight, backing off, due and bulk; a user whose ID only begins alike is left out."""
    await lanes.submit(
        ("a1", change(user, "a")), ("a2", change(user, "a")), ("b1", change(user, "b")), ("x", change(f"{user}0", "a"))
    )
    claims = {claim.job_id: claim for _ in range(2) for claim in await lanes.claim() if claim.job_id != "x"}
    await lanes.back(claims["b1"], 60)
    await lanes.submit(("c:1", change(user, "c:c")))
    await lanes.submit(("d1", change(user, "d")), priority=Priority.BULK)

    status = await producer.user_status(user)

    found = {lane.trader_id: lane for lane in status.lanes}
    assert list(found) == ["a", "b", "c:c", "d"]
    assert (found["a"].queued, found["a"].in_flight, found["a"].head) == (2, True, "a1")
    assert found["a"].due_in_s is None
    assert (found["b"].queued, found["b"].in_flight) == (1, False)
    assert found["b"].due_in_s == pytest.approx(60, abs=30)
    assert found["c:c"] == LaneStatus("c:c", 1, False, False, found["c:c"].due_in_s, Priority.INTERACTIVE, "c:1")
    assert [lane.priority for lane in status.lanes] == [Priority.INTERACTIVE] * 3 + [Priority.BULK]


async def test_pause_hold_and_rate_of_a_user_are_shown(producer: Producer, lanes: Lanes) -> None:
    """Also for a user without lanes."""
    await lanes.submit(("j1", change()))
    await lanes.back(await lanes.claim_one(), 60, hold_s=60)
    await producer.pause(user_id="1001")
    await producer.pause(user_id="1002")
    await producer.limit_user("1001", 2.5)

    status = await producer.user_status("1001")

    assert (status.paused, status.rate_per_s) == (True, 2.5)
    assert status.hold_s == pytest.approx(60, abs=30)
    await producer.resume(user_id="1001")
    await producer.pause(everything=True)
    resumed = await producer.user_status("1001")
    assert (resumed.paused, resumed.everything_paused) == (False, True)
    await producer.resume(everything=True)
    assert await producer.user_status("1002") == UserStatus("1002", True, None, 0.0, 1.0, None, [])


async def test_all_of_a_thousand_lanes_of_a_user_are_shown(producer: Producer, lanes: Lanes) -> None:
    """More than one scan returns, sorted by trader, without lanes of users 4 and 50."""
    await lanes.submit(*((f"j{n}", change("5", f"t{n:04}")) for n in range(1001)))
    await lanes.submit(("other", change("50")), ("another", change("4")))

    status = await producer.user_status("5")

    assert [lane.trader_id for lane in status.lanes] == [f"t{n:04}" for n in range(1001)]


async def test_the_changes_of_lanes_are_listed_as_far_as_asked_for(producer: Producer, lanes: Lanes) -> None:
    """The head first, of the lane of one trader or of all; none if nobody asks."""
    await lanes.submit(*((f"a{n}", change("5", "a:a")) for n in range(4)), ("b0", change("5", "b")))

    async def jobs(changes: int, trader_id: str | None = None) -> list[list[str]]:
        status = await producer.user_status("5", changes=changes, trader_id=trader_id)
        return [lane.jobs for lane in status.lanes]

    assert await jobs(0) == [[], []]
    assert await jobs(1) == [["a0"], ["b0"]]
    assert await jobs(3) == [["a0", "a1", "a2"], ["b0"]]
    assert await jobs(10, "a:a") == [["a0", "a1", "a2", "a3"]]
    assert await jobs(10, "c") == []
    with pytest.raises(InvalidId):
        await producer.user_status("5", trader_id="a b")


async def test_of_many_lanes_those_in_flight_and_those_due_first_are_returned(producer: Producer, lanes: Lanes) -> None:
    """With how many there are."""
    await lanes.submit(*((f"j{n}", change("5", f"t{n}")) for n in range(8)))
    in_flight = (await lanes.claim(1))[0].lane.partition(":")[2]
    await lanes.redis.zadd(KEYS.lanes + "5", {"t6": 1, "t7": 2})

    status = await producer.user_status("5", max_lanes=3)

    assert {lane.trader_id for lane in status.lanes} == {in_flight, "t6", "t7"}
    assert (status.lanes_total, status.malformed) == (8, 0)


async def test_a_user_at_its_limit_shows_what_it_used_and_its_next_slot(timed: Lanes, steering: Producer) -> None:
    """Requests in flight count; once a window has passed, nothing does."""
    await steering.enqueue_many([change("5", f"t{n}") for n in range(20)])
    assert (await steering.user_status("5")).bucket is None
    for _ in range(3):
        await timed.attempt(await timed.claim_one())
        timed.clock.advance(0.1)  # type: ignore[attr-defined]
    await timed.claim_one()
    used = (await steering.user_status("5")).bucket
    timed.clock.advance(2)  # type: ignore[attr-defined]
    later = (await steering.user_status("5")).bucket

    assert used is not None
    assert (used.requests, used.per_window) == (4, 10)
    assert used.window_s == pytest.approx(1, abs=0.01)
    assert used.next_slot_in_s == pytest.approx(0.05, abs=0.01)  # half a pace, since the last claim was late
    assert later is not None
    assert (later.requests, later.next_slot_in_s) == (1, 0)  # the one in flight
