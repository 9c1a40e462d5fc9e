"""The status of a user: lanes, rate, pause and hold."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

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
    assert not (await producer.user_status("1001")).paused
    assert await producer.user_status("1002") == UserStatus("1002", True, None, 0.0, 1.0, None, [])


async def test_all_of_a_thousand_lanes_of_a_user_are_shown(producer: Producer, lanes: Lanes) -> None:
    """More than one scan returns, sorted by trader, without lanes of users 4 and 50."""
    await lanes.submit(*((f"j{n}", change("5", f"t{n:04}")) for n in range(1001)))
    await lanes.submit(("other", change("50")), ("another", change("4")))

    status = await producer.user_status("5")

    assert [lane.trader_id for lane in status.lanes] == [f"t{n:04}" for n in range(1001)]
