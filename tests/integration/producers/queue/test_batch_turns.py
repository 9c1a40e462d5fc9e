"""What a batch waits for: the users and lanes before its own, and the pause of its trader."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Priority, Producer
from tests.support.announcements import announcer
from tests.support.changes import change
from tests.support.fan_outs import to_users, users
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock

PACE_S = PACING.pace_us / 1e6
EGRESS_PACE_S = PACING.egress_pace_us / 1e6


@pytest.fixture
async def producer(timed: Lanes, clock: ManualClock) -> Producer:
    """A producer, beside a worker that claimed a second ago."""
    await timed.submit(("first", change("9999")))
    await timed.done(await timed.claim_one(), took_s=0.0)
    clock.advance(1)
    return Producer(timed.redis)


async def test_users_that_are_due_before_a_batch_s_own_count_for_its_eta(
    producer: Producer, clock: ManualClock, fake_redis: ArqRedis
) -> None:
    """It is no earlier than what its change says."""
    await (await announcer(fake_redis, clock)).announce()
    await to_users(producer, map(str, range(1000, 2000)), "first")
    clock.advance(0.001)
    batch = await to_users(producer, users(1))
    progress = await batch.progress()
    wait = (await producer.job(progress.waits_for or "").status()).wait

    assert wait is not None
    assert wait.expected_at_ms is not None
    assert progress.eta_s is not None
    assert progress.eta_s == pytest.approx(1000 * EGRESS_PACE_S + PACE_S, rel=0.01)
    assert progress.eta_s >= (wait.expected_at_ms - clock.now_us / 1000) / 1000


async def test_lanes_of_its_user_before_a_batch_s_own_count_for_its_eta(
    producer: Producer, timed: Lanes, clock: ManualClock
) -> None:
    """But not on top of a back-off, in which they are sent."""
    await producer.enqueue_many([change("1", f"other-{number}") for number in range(20)])
    clock.advance(0.001)
    batch = await producer.fan_out([change("1")], batch_id="b", priority=Priority.INTERACTIVE)
    assert (await batch.progress()).eta_s == pytest.approx(21 * PACE_S, rel=0.01)

    await timed.redis.zadd(KEYS.lanes + "1", {"t1": clock.now_us // 1000 + 60_000})

    assert (await batch.progress()).eta_s == pytest.approx(60 + PACE_S, rel=0.01)


async def test_a_batch_of_a_paused_trader_names_a_change_of_its_own(producer: Producer) -> None:
    """Whatever is before it in its lane, though its user is paused as well, and once its deepest lane's has ended."""
    await producer.enqueue(change("3"), job_id="before")
    batch = await to_users(producer, users(3))
    await producer.pause(user_id="3")
    await producer.pause(trader_id="t1")
    of_both = (await batch.progress()).waits_for
    reason = (await producer.job(of_both or "").status()).wait
    await producer.job("b..3").cancel()
    others = await batch.progress()

    assert of_both == "b..3"
    assert reason is not None
    assert reason.message == "trader t1 is paused"
    assert others.eta_s is None
    assert others.waits_for in {"b..1", "b..2"}
