"""Priorities: interactive before bulk, a tenth of the claims for bulk, and lanes that hold both."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import Priority, Producer
from producers.contract import keyspace
from producers.queue.lanes import LaneScore
from tests.support.changes import TRADER, change, numbered
from tests.support.fan_outs import end_all, to_users
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claim import BULK_SHARE

BULK = Priority.BULK
LANE = keyspace.lane("1001", TRADER)


async def both_waiting(lanes: Lanes, count: int) -> None:
    """Submit as many lanes of each priority, the bulk ones earlier."""
    await lanes.submit(*((f"bulk{n}", change(f"b{n}")) for n in range(count)), priority=BULK)
    await lanes.submit(*((f"urgent{n}", change(f"u{n}")) for n in range(count)))
    for n in range(count):
        await lanes.redis.zadd(KEYS.bulk_schedule, {f"b{n}": 1 + n})


@pytest.mark.parametrize("most", [1, 3, 10, 100])
async def test_bulk_gets_one_claim_in_ten_while_both_wait(lanes: Lanes, most: int) -> None:
    """However few a worker claims at once."""
    await both_waiting(lanes, 100)
    claimed: list[str] = []
    while len(claimed) < 100:
        claimed += [claim.job_id for claim in await lanes.claim(most)]

    places = [place for place, job_id in enumerate(claimed[:100]) if job_id.startswith("bulk")]
    assert places == list(range(BULK_SHARE - 1, 100, BULK_SHARE))
    assert [claimed[place] for place in places] == [f"bulk{n}" for n in range(10)]


async def test_bulk_gets_all_that_interactive_does_not_need(lanes: Lanes) -> None:
    """Beyond its tenth, bulk follows after the last interactive change, in order of submission."""
    await both_waiting(lanes, 20)

    claimed = [claim.job_id for claim in await lanes.claim(100)]

    assert len(claimed) == 40
    assert claimed[22:] == [f"bulk{n}" for n in range(2, 20)]


async def test_interactive_gets_all_that_bulk_does_not_need(lanes: Lanes) -> None:
    """The tenth for bulk is not reserved when there is no bulk lane."""
    await lanes.submit(*((f"urgent{n}", change(f"u{n}")) for n in range(30)))

    assert len(await lanes.claim(30)) == 30


async def test_bulk_lanes_that_are_not_due_take_no_share(lanes: Lanes) -> None:
    """A bulk lane that backs off leaves all claims to interactive lanes."""
    await lanes.submit(("bulk", change("b")), priority=BULK)
    await lanes.back(await lanes.claim_one(), 60)
    await lanes.submit(*((f"urgent{n}", change(f"u{n}")) for n in range(30)))

    assert {claim.job_id[:6] for claim in await lanes.claim(30)} == {"urgent"}


async def test_the_next_due_time_is_that_of_the_first_lane_of_either_priority(lanes: Lanes) -> None:
    """A worker that sleeps by it misses neither schedule."""
    await lanes.submit(("urgent", change("u")))
    await lanes.submit(("bulk", change("b")), priority=BULK)
    for claim in await lanes.claim():
        await lanes.back(claim, 30 if claim.job_id == "bulk" else 60)

    wait_s = (await lanes.claims()).next_due_s

    assert wait_s is not None
    assert 20 < wait_s < 31


async def test_a_bulk_lane_stays_bulk_through_retries_and_lost_workers(timed: Lanes, clock: ManualClock) -> None:
    """Every way back to the schedule leads to the bulk schedule."""
    await timed.submit(("a", change()), ("b", change()), priority=BULK)
    for settle in (timed.back, None, timed.done, timed.back, timed.done):
        clock.advance(1)
        await timed.due_now(LANE)
        claim = await timed.claim_one()
        assert await timed.on_bulk(LANE)
        if settle is None:
            await timed.lapse()
            timed.claimer = timed.new_claimer()
        else:
            await settle(claim)
        assert await timed.uncovered() == set()

    assert await timed.queued(LANE) == []


async def test_an_interactive_change_makes_its_lane_interactive_and_overtakes_no_change_in_it(
    producer: Producer, lanes: Lanes
) -> None:
    """The bulk changes in front of it rise with it; those behind it are bulk again afterwards."""
    await to_users(producer, ["2002"], "other")
    await producer.fan_out(numbered(2), batch_id="x")
    assert await lanes.on_bulk(LANE)

    await producer.enqueue(change(), job_id="urgent")
    await producer.fan_out(numbered(2), batch_id="y")

    order, bulk = [], []
    while claims := await lanes.claim(1):
        order.append(claims[0].job_id)
        bulk.append(await lanes.on_bulk(LANE))
        await lanes.done(claims[0])
        assert await lanes.uncovered() == set()
    assert order == ["x..0", "x..1", "urgent", "other..2002", "y..0", "y..1"]
    assert bulk == [False, False, False, True, True, True]


async def test_a_lane_that_becomes_interactive_stays_in_flight_and_keeps_its_back_off(lanes: Lanes) -> None:
    """Its score moves to the other set unchanged, and the change in flight is not fenced."""
    await lanes.submit(("a", change()), priority=BULK)
    held = await lanes.claim_one()

    await lanes.submit(("urgent", change()))
    assert await lanes.is_held(held)
    assert await lanes.ready_ms(LANE) == LaneScore.IN_FLIGHT
    assert await lanes.claim() == []
    assert not (await lanes.back(held, 60)).fenced

    assert await lanes.claim() == []
    assert not await lanes.on_bulk(LANE)
    assert await lanes.uncovered() == set()


async def test_a_lane_that_becomes_interactive_wakes_an_idle_worker(lanes: Lanes) -> None:
    """Although the lane was scheduled already."""
    await lanes.submit(("a", change()), priority=BULK)
    await lanes.redis.delete(KEYS.wakeups)

    await lanes.submit(("urgent", change()))

    assert await lanes.redis.llen(KEYS.wakeups) == 1  # type: ignore[misc]


async def test_a_lane_becomes_bulk_again_when_its_last_interactive_change_ends(lanes: Lanes) -> None:
    """Not before: two interactive changes in front of one bulk change."""
    await lanes.submit(("u1", change()), ("u2", change()))
    await lanes.submit(("b1", change()), priority=BULK)
    seen = []
    for _ in range(3):
        seen.append(await lanes.on_bulk(LANE))
        await lanes.done(await lanes.claim_one())

    assert seen == [False, False, True]
    assert await lanes.uncovered() == set()


async def test_a_lane_changes_priority_any_number_of_times(lanes: Lanes) -> None:
    """Three times to interactive and back, and the lane is never without a schedule."""
    await lanes.submit(*((f"b{n}", change()) for n in range(3)), priority=BULK)
    for number in range(3):
        assert await lanes.on_bulk(LANE)
        await lanes.submit((f"u{number}", change()))
        assert not await lanes.on_bulk(LANE)
        await lanes.submit((f"c{number}", change()), priority=BULK)
        while (claim := await lanes.claim_one()).job_id != f"u{number}":
            await lanes.done(claim)
        await lanes.done(claim)
        assert await lanes.uncovered() == set()

    assert await lanes.on_bulk(LANE)
    assert await end_all(lanes) == ["c2"]


@pytest.mark.parametrize("taken_back", ["first", "second", "both"])
@pytest.mark.parametrize("order", [("b", "u", "b", "u", "b"), ("u", "u", "b"), ("b", "b", "u", "u")])
async def test_a_lane_becomes_bulk_at_once_when_its_last_interactive_change_is_cancelled(
    producer: Producer, lanes: Lanes, order: tuple[str, ...], taken_back: str
) -> None:
    """Whichever of two interactive changes is cancelled, in three orders within the lane."""
    for place, kind in enumerate(order):
        await lanes.submit((f"{kind}{place}", change()), priority=BULK if kind == "b" else Priority.INTERACTIVE)
    first, second = (f"u{place}" for place, kind in enumerate(order) if kind == "u")

    for job_id in {"first": [first], "second": [second], "both": [second, first]}[taken_back]:
        assert not await lanes.on_bulk(LANE)
        await producer.job(job_id).cancel()
        assert await lanes.uncovered() == set()

    assert await lanes.on_bulk(LANE) == (taken_back == "both")
    left = {"first": second, "second": first, "both": None}[taken_back]
    seen = {}
    while claims := await lanes.claim():
        seen[claims[0].job_id] = await lanes.on_bulk(LANE)
        await lanes.done(claims[0])
    places = list(seen)
    for job_id, was_bulk in seen.items():
        assert was_bulk == (left is None or places.index(job_id) > places.index(left))
    assert await lanes.queued(LANE) == []


async def test_cancelling_a_bulk_change_keeps_an_interactive_lane_interactive(producer: Producer, lanes: Lanes) -> None:
    """Bulk changes in front of and behind the interactive one."""
    await lanes.submit(("b1", change()), ("b2", change()), priority=BULK)
    await lanes.submit(("u", change()))
    await lanes.submit(("b3", change()), priority=BULK)

    for job_id in ("b1", "b3", "b2"):
        await producer.job(job_id).cancel()
        assert not await lanes.on_bulk(LANE)
        assert await lanes.uncovered() == set()

    assert await end_all(lanes) == ["u"]


async def test_an_interactive_change_does_not_wait_for_ten_thousand_bulk_changes_of_other_users(
    producer: Producer, lanes: Lanes
) -> None:
    """The next single claim takes it (here with 1,000 due bulk lanes)."""
    await to_users(producer, map(str, range(1000)))
    await producer.enqueue(change("late"), job_id="late")

    assert (await lanes.claim(1))[0].job_id == "late"
