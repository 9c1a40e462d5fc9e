"""Cancelling batches and users: all that is queued of them, and no more."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import CancelReport, InvalidId, Outcome, Producer
from tests.support.changes import change, numbered
from tests.support.contents import contents
from tests.support.fan_outs import end_all, read_all, to_users, users, where_consistent
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock


async def test_cancelling_a_batch_ends_all_but_what_is_in_flight(producer: Producer, lanes: Lanes) -> None:
    """Counters, stream and completion follow; changes of others stay."""
    await producer.enqueue(change("3", "another"), job_id="mine")
    await lanes.done(await lanes.claim_one())
    batch = await to_users(producer, users(6))
    await producer.enqueue(change("3"), job_id="behind")
    first, second = await lanes.claim(2)
    await lanes.done(first)

    assert await batch.cancel() == CancelReport(4, 1)

    progress = await where_consistent(batch)
    assert (progress.cancelled, progress.sealed, progress.complete) == (True, True, False)
    assert progress.outcomes == {Outcome.APPLIED: 1, Outcome.CANCELLED: 4}
    await lanes.done(second)
    assert (await batch.wait(timeout=30)).outcomes == {Outcome.APPLIED: 2, Outcome.CANCELLED: 4}
    assert len(await read_all(batch.results())) == 6
    assert (await producer.job("mine").result(timeout=0)).applied
    assert await end_all(lanes) == ["behind"]
    assert await lanes.uncovered() == set()


async def test_cancelling_a_batch_repeatedly_ends_each_change_once(producer: Producer, lanes: Lanes) -> None:
    """Three times at once, and again after it is complete."""
    batch = await to_users(producer, users(50))

    reports = await asyncio.gather(*(producer.batch("b").cancel() for _ in range(3)))

    assert sum(report.cancelled for report in reports) == 50
    assert await batch.cancel() == CancelReport(0, 0)
    assert (await where_consistent(batch)).outcomes == {Outcome.CANCELLED: 50}
    assert await lanes.redis.hgetall(KEYS.counts) == {b"cancelled": b"50"}  # type: ignore[misc]


async def test_cancelling_a_batch_of_thousands_ends_all_of_them(producer: Producer, lanes: Lanes) -> None:
    """In one lane and in many, over several round trips."""
    deep = await producer.fan_out(numbered(1100), batch_id="deep")
    wide = await to_users(producer, users(1100), "wide")

    assert await deep.cancel() == CancelReport(1100, 0)
    assert await wide.cancel() == CancelReport(1100, 0)

    assert (await where_consistent(deep)).complete
    assert (await where_consistent(wide)).complete
    assert await lanes.redis.keys(KEYS.heads + "*") == []


@pytest.mark.parametrize("user", ["1001", "a:b", "100%"])
async def test_cancelling_a_user_ends_all_but_what_is_in_flight(producer: Producer, lanes: Lanes, user: str) -> None:
    """In all lanes of the user; users with similar names keep theirs."""
    others = ["10010", "a", "a:bc", "100", "b", f"{user}:"]
    await lanes.submit(*((f"{trader}{n}", change(user, trader)) for trader in ("t1", "t2", "t:3") for n in range(2)))
    held = (await lanes.claims(1)).claims[0]
    await lanes.submit(*((f"other{n}", change(other)) for n, other in enumerate(others)))

    assert await producer.cancel_user(user) == CancelReport(5, 1)

    assert not (await lanes.done(held)).fenced
    assert await producer.cancel_user(user) == CancelReport(0, 0)
    assert sorted(await end_all(lanes)) == sorted(f"other{n}" for n in range(len(others)))
    assert await lanes.uncovered() == set()


async def test_cancelling_a_user_without_changes_does_nothing(producer: Producer, redis: ArqRedis) -> None:
    """A malformed user ID is rejected."""
    assert await producer.cancel_user("nobody") == CancelReport(0, 0)
    with pytest.raises(InvalidId):
        await producer.cancel_user("a b")

    assert await contents(redis) == {}


async def test_a_user_whose_backlog_was_cancelled_is_served_at_once(timed: Lanes, clock: ManualClock) -> None:
    """Its lanes had no slots yet."""
    producer = Producer(timed.redis)
    await timed.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(100)))
    (held,) = await timed.claim()
    clock.advance(0.05)
    await timed.done(held, took_s=0.05)
    assert await producer.cancel_user("1001") == CancelReport(99, 0)

    await timed.submit(("new", change(trader="new")))

    clock.advance(0.1)
    assert [claim.job_id for claim in await timed.claim()] == ["new"]


async def test_the_remaining_lanes_of_a_partly_cancelled_user_are_rescheduled_without_gaps(
    timed: Lanes, clock: ManualClock
) -> None:
    """The 10 lanes left of 101 get the freed slots and are done within 1.5 s."""
    producer = Producer(timed.redis)
    began_s = clock.monotonic()
    await timed.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(101)))
    await timed.done(await timed.claim_one(), took_s=0.0)
    for n in range(1, 101):
        if n % 10:
            await producer.job(f"j{n}").cancel()

    slots_s: list[float] = []
    while len(slots_s) < 10:
        claims = await timed.claims()
        for claim in claims.claims:
            slots_s.append(claim.slot_at_s)
            clock.advance(max(0.0, claim.slot_at_s - clock.monotonic()))
            await timed.done(claim, took_s=0.0)
        clock.advance((claims.next_due_s or 0) + 0.001)

    assert slots_s[-1] - began_s < 1.5
