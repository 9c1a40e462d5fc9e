"""A batch's ETA: arithmetic over the buckets, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Batch, Producer
from tests.support.changes import change, numbered
from tests.support.fan_outs import end_all, to_users, users
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Requeue

PACE_S = PACING.pace_us / 1e6
EGRESS_PACE_S = PACING.egress_pace_us / 1e6


@pytest.fixture
async def producer(timed: Lanes, clock: ManualClock) -> Producer:
    """A producer, beside a worker that claimed a second ago."""
    await timed.submit(("first", change("9999")))
    await timed.done(await timed.claim_one(), took_s=0.0)
    clock.advance(1)
    return Producer(timed.redis)


async def eta_s(batch: Batch) -> float | None:
    return (await batch.progress()).eta_s


async def test_the_eta_of_many_users_is_set_by_the_egress(producer: Producer) -> None:
    """500 users with one change each: the shared egress is the bottleneck."""
    batch = await to_users(producer, users(500))

    assert await eta_s(batch) == pytest.approx(500 * EGRESS_PACE_S, rel=0.01)


async def test_the_eta_of_one_user_is_set_by_its_deepest_lane(producer: Producer) -> None:
    """100 changes of one user take 100 times its pace, whatever another user has."""
    batch = await producer.fan_out([*numbered(100), change("1002")], batch_id="b")

    assert await eta_s(batch) == pytest.approx(100 * PACE_S, rel=0.01)


async def test_a_user_s_own_rate_counts_for_the_eta(producer: Producer) -> None:
    """But never faster than the egress."""
    batch = await producer.fan_out(numbered(100), batch_id="b")

    await producer.limit_user("1001", 2)
    assert await eta_s(batch) == pytest.approx(50, rel=0.01)
    await producer.limit_user("1001", 1000)
    assert await eta_s(batch) == pytest.approx(100 * EGRESS_PACE_S, rel=0.01)


async def test_changes_queued_before_the_batch_count_for_its_eta(producer: Producer) -> None:
    """They are in front of the batch in the same lane."""
    await producer.enqueue_many(numbered(100))
    batch = await producer.fan_out(numbered(1), batch_id="b")

    assert await eta_s(batch) == pytest.approx(101 * PACE_S, rel=0.01)


async def test_the_eta_shrinks_as_changes_end_and_is_0_when_complete(
    producer: Producer, timed: Lanes, clock: ManualClock
) -> None:
    """It never grows from one settlement to the next."""
    batch = await producer.fan_out(numbered(10), batch_id="b")
    etas = [await eta_s(batch)]
    for _ in range(10):
        claims = await timed.claims()
        while not claims.claims:
            clock.advance((claims.next_due_s or 0) + 0.001)
            claims = await timed.claims()
        (claim,) = claims.claims
        clock.advance(max(0.0, claim.slot_at_s - clock.monotonic()))
        await timed.done(claim, took_s=0.0)
        etas.append(await eta_s(batch))

    assert None not in etas
    assert etas == sorted(etas, key=lambda each: -(each or 0))
    assert etas[-1] == 0


async def test_two_egresses_halve_the_eta_of_many_users(producer: Producer, timed: Lanes) -> None:
    """A paused egress does not count."""
    batch = await to_users(producer, users(500))
    await timed.redis.sadd(KEYS.egresses, "second")  # type: ignore[misc]
    await timed.redis.hset(  # type: ignore[misc]
        KEYS.egress + "second", mapping={"pace": PACING.egress_pace_us, "user_pace": PACING.pace_us}
    )

    assert await eta_s(batch) == pytest.approx(250 * EGRESS_PACE_S, rel=0.01)
    await producer.pause(egress="second")
    assert await eta_s(batch) == pytest.approx(500 * EGRESS_PACE_S, rel=0.01)


async def test_holds_of_the_user_and_the_egress_delay_the_eta(
    producer: Producer, timed: Lanes, clock: ManualClock
) -> None:
    """The longer one counts."""
    batch = await producer.fan_out(numbered(10), batch_id="b")
    (claim,) = await timed.claim()
    held = Requeue(claim=claim, history=b"", reason="a test's", request=timed.request(claim, 0.0), hold_s=20)
    await timed.settler.settle(held)
    assert await eta_s(batch) == pytest.approx(20 + 10 * PACE_S, rel=0.01)

    breaker = {"openings": "1", "reason": "throttled", "probe_at": str(clock.now_us + 100_000_000)}
    await timed.redis.hset(KEYS.egress + "default", mapping=breaker)  # type: ignore[misc]

    assert await eta_s(batch) == pytest.approx(100 + 10 * PACE_S, rel=0.01)


async def test_the_eta_is_unknown_during_a_pause(producer: Producer) -> None:
    """Nobody knows when a pause of any scope ends; the ETA is back after it."""
    batch = await producer.fan_out(numbered(10), batch_id="b")
    scopes: list[dict[str, Any]] = [
        {"everything": True},
        {"egress": "default"},
        {"user_id": "1001"},
        {"trader_id": "t1"},
    ]
    for scope in scopes:
        await producer.pause(**scope)
        assert await eta_s(batch) is None
        await producer.resume(**scope)
        assert await eta_s(batch) is not None


async def test_a_change_that_was_put_back_delays_the_eta(producer: Producer, timed: Lanes, clock: ManualClock) -> None:
    """Until it has its turn, though all other changes have ended; and it is the one that the batch waits for."""
    batch = await to_users(producer, users(3))
    *others, last = await timed.claim(3)
    await timed.back(last, 22)
    for claim in others:
        await timed.done(claim, took_s=0.0)
    progress = await batch.progress()

    assert progress.eta_s == pytest.approx(22 + PACE_S, rel=0.01)
    assert progress.waits_for == last.job_id
    clock.advance(21)
    assert await eta_s(batch) == pytest.approx(1 + PACE_S, rel=0.01)
    await producer.job(last.job_id).cancel()
    assert await eta_s(batch) == 0


async def test_what_others_queue_behind_a_batch_does_not_count_for_its_eta(producer: Producer, timed: Lanes) -> None:
    """In its deepest lane, once its own change there has ended."""
    batch = await to_users(producer, users(2))
    for claim in await timed.claim():
        await (timed.done(claim, took_s=0.0) if claim.job_id == "b..1" else timed.back(claim, 5))
    await producer.enqueue_many([change("1")] * 100)
    await producer.pause(user_id="1")

    assert await eta_s(batch) == pytest.approx(5 + PACE_S, rel=0.01)


async def test_the_eta_is_unknown_while_one_of_many_users_is_paused(producer: Producer) -> None:
    """Wherever in the batch and in its lane it is; the batch names its change."""
    last = users(3)[-1]
    await producer.enqueue_many([change("1"), change("1"), change(last)])
    batch = await to_users(producer, users(3))
    await producer.pause(user_id=last)
    progress = await batch.progress()

    assert progress.eta_s is None
    assert progress.waits_for == f"b..{last}"
    await producer.job(f"b..{last}").cancel()
    assert await eta_s(batch) is not None


async def test_the_eta_is_unknown_without_a_worker(fake_redis: ArqRedis) -> None:
    """No egress has a pace to compute with."""
    batch = await to_users(Producer(fake_redis), users(10))

    assert await eta_s(batch) is None


@pytest.mark.parametrize("count", [0, 3])
async def test_the_eta_of_a_complete_batch_is_0_despite_pauses(producer: Producer, timed: Lanes, count: int) -> None:
    """Also for an empty batch, and without any egress."""
    batch = await to_users(producer, users(count))
    lanes = Lanes(timed.redis, clock=timed.clock)
    await end_all(lanes)
    await producer.pause(everything=True)
    await timed.redis.delete(KEYS.egress + "default")

    assert await eta_s(batch) == 0


async def test_the_eta_is_the_same_on_a_real_server(valkey: ArqRedis) -> None:
    """The arithmetic of the other tests runs on fakeredis and a manual clock."""
    lanes, producer = Lanes(valkey, pacing=PACING), Producer(valkey)
    await lanes.submit(("first", change("9999")))
    await lanes.done(await lanes.claim_one(), took_s=0.0)
    deep = await producer.fan_out(numbered(77), batch_id="deep")
    wide = await to_users(producer, users(333), "wide")

    assert await eta_s(deep) == pytest.approx(77 * PACE_S, rel=0.01)
    assert await eta_s(wide) == pytest.approx(333 * EGRESS_PACE_S, rel=0.01)


async def test_a_cancelled_batch_has_no_eta(producer: Producer, timed: Lanes) -> None:
    """What is left of it waits for no slot: it ends without being sent."""
    batch = await to_users(producer, users(3))
    await timed.claim(1)
    await batch.cancel()
    progress = await batch.progress()

    assert (progress.in_flight, progress.eta_s, progress.waits_for) == (1, None, None)
