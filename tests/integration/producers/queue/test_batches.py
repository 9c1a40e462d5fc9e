"""Batches: counters that agree at every step, and completion that is announced once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from ops.keys import KEYS
from producers import Batch, Outcome, Producer
from producers.contract import keyspace
from tests.support.changes import TRADER, change, numbered
from tests.support.fan_outs import end_all, failing_after, to_users, users, where_consistent
from tests.support.lanes import Lanes

SMALL = 5


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.queue.chunks.CHUNK_SIZE", SMALL)


async def numbers(batch: Batch) -> tuple[int, int, int]:
    """Return queued, in flight and ended; they must add up to the total."""
    progress = await where_consistent(batch)
    return progress.queued, progress.in_flight, progress.ended


async def test_a_batch_counts_a_change_as_queued_then_in_flight_then_ended(producer: Producer, lanes: Lanes) -> None:
    """The start time is set by the first claim, the finish time by the last settlement."""
    batch = await to_users(producer, users(2))
    assert await numbers(batch) == (2, 0, 0)
    assert (await batch.progress()).started_at_ms is None

    first, second = await lanes.claim()
    assert await numbers(batch) == (0, 2, 0)
    started_ms = (await batch.progress()).started_at_ms
    await lanes.done(first)
    assert await numbers(batch) == (0, 1, 1)
    await lanes.done(second, Outcome.REJECTED)

    progress = await where_consistent(batch)
    assert progress.outcomes == {Outcome.APPLIED: 1, Outcome.REJECTED: 1}
    assert progress.complete
    assert progress.started_at_ms == started_ms is not None
    assert progress.finished_at_ms is not None
    assert progress.created_at_ms <= started_ms <= progress.finished_at_ms


@pytest.mark.parametrize("outcome", Outcome)
async def test_every_outcome_is_counted_under_its_name(producer: Producer, lanes: Lanes, outcome: Outcome) -> None:
    """Outcomes that did not occur are absent."""
    batch = await to_users(producer, users(3))

    await end_all(lanes, outcome)

    assert (await where_consistent(batch)).outcomes == {outcome: 3}


async def test_a_change_that_is_put_back_counts_as_queued_again(producer: Producer, lanes: Lanes) -> None:
    """After a request and without one."""
    batch = await to_users(producer, users(1))

    for replied in (True, False, True):
        await lanes.back(await lanes.claim_one(), replied=replied)
        assert await numbers(batch) == (1, 0, 0)
        await lanes.due_now(keyspace.lane("1", TRADER))
    await lanes.done(await lanes.claim_one())

    assert await numbers(batch) == (0, 0, 1)


async def test_a_change_of_lost_workers_counts_as_in_flight_once(steering: Producer, timed: Lanes) -> None:
    """The settlement of a worker that lost it changes nothing."""
    batch = await to_users(steering, users(1))
    lost = await timed.claim_one()
    for _ in range(3):
        await timed.lapse()
        assert await numbers(batch) == (1, 0, 0)
        timed.claimer = timed.new_claimer()
        held = await timed.claim_one()
        assert await numbers(batch) == (0, 1, 0)
        assert (await timed.done(lost)).fenced
        assert (await timed.back(lost)).fenced
        assert await numbers(batch) == (0, 1, 0)
        lost = held

    await timed.done(held)

    assert await numbers(batch) == (0, 0, 1)
    assert (await timed.done(held)).fenced
    assert await numbers(batch) == (0, 0, 1)


async def test_a_cancelled_change_counts_neither_as_queued_nor_as_in_flight(producer: Producer, lanes: Lanes) -> None:
    """Whether it was new or waited for a retry; a change in flight stays."""
    batch = await to_users(producer, users(3))
    claims = await lanes.claim()
    await lanes.back(claims[0], 60)
    await lanes.back(claims[1], 60)
    await producer.job(claims[0].job_id).cancel()
    assert await numbers(batch) == (1, 1, 1)
    await producer.job(claims[2].job_id).cancel()
    assert await numbers(batch) == (1, 1, 1)

    await producer.job(claims[1].job_id).cancel()
    await lanes.done(claims[2])

    progress = await where_consistent(batch)
    assert progress.outcomes == {Outcome.CANCELLED: 2, Outcome.APPLIED: 1}
    assert progress.complete


@pytest.mark.parametrize("is_template", [True, False])
async def test_no_change_of_a_cancelled_batch_is_attempted_any_more(
    producer: Producer, lanes: Lanes, *, is_template: bool
) -> None:
    """Also one that was in flight, and is put back: a worker that claims it is told so."""
    changes = [change(user) for user in users(2)]
    batch = await (to_users(producer, users(2)) if is_template else producer.fan_out(changes))
    (claim,) = await lanes.claim(most=1)
    other = await producer.enqueue(change("other"))
    report = await batch.cancel()
    await lanes.back(claim)
    await lanes.due_now(claim.lane)

    assert (report.cancelled, report.in_flight) == (1, 1)
    assert {claim.job_id: claim.is_cancelled for claim in await lanes.claim()} == {
        claim.job_id: True,
        other.job_id: False,
    }


async def test_the_changes_of_two_batches_in_one_lane_are_counted_apart(producer: Producer, lanes: Lanes) -> None:
    """And changes without a batch are counted in neither."""
    first = await producer.fan_out(numbered(1), batch_id="x")
    await producer.enqueue(change(), job_id="plain")
    second = await producer.fan_out(numbered(1), batch_id="y")

    await lanes.done(await lanes.claim_one())
    assert (await numbers(first), await numbers(second)) == ((0, 0, 1), (1, 0, 0))
    await lanes.done(await lanes.claim_one())
    assert (await numbers(first), await numbers(second)) == ((0, 0, 1), (1, 0, 0))
    assert (await lanes.claim_one()).job_id == "y..0"

    assert (await numbers(first), await numbers(second)) == ((0, 0, 1), (0, 1, 0))


async def completions(redis: Redis, batch_id: str, act: Any) -> int:
    """Return how often a batch's completion is announced while `act` runs."""
    async with redis.pubsub() as subscription:
        await subscription.subscribe(KEYS.batch_complete + batch_id, "the end")
        await act()
        await redis.publish("the end", "")
        announced = 0
        async for message in subscription.listen():
            if message["type"] == "message":
                if message["channel"] == b"the end":
                    break
                assert message["data"] == batch_id.encode()
                announced += 1
        await subscription.unsubscribe()
    return announced


async def test_completion_is_announced_once_when_the_last_change_ends(producer: Producer, lanes: Lanes) -> None:
    """Later submissions and cancellations do not announce it again."""

    async def act() -> None:
        batch = await to_users(producer, users(3))
        await end_all(lanes)
        await to_users(producer, users(3))
        await batch.cancel()
        assert not (await batch.progress()).cancelled, "nothing was left to cancel"
        assert sum(b"end" in fields for _, fields in await lanes.redis.xrange(KEYS.batch_results + "b")) == 1

    assert await completions(lanes.redis, "b", act) == 1


async def test_completion_is_announced_once_when_a_batch_is_sealed_after_its_last_change_ended(
    producer: Producer, lanes: Lanes
) -> None:
    """The first fan-out breaks off, so all its changes end before a rerun seals the batch."""

    async def act() -> None:
        with pytest.raises(LookupError):
            await to_users(producer, failing_after(users(2 * SMALL), SMALL))
        await end_all(lanes)
        assert not (await where_consistent(producer.batch("b"))).complete
        batch = await to_users(producer, users(SMALL))
        assert (await where_consistent(batch)).complete

    assert await completions(lanes.redis, "b", act) == 1


async def test_completion_is_announced_once_when_seal_settlement_and_cancellation_race(
    producer: Producer, lanes: Lanes
) -> None:
    """Twenty races, each on an empty database."""

    async def race() -> None:
        fanning = asyncio.create_task(to_users(producer, users(3)))
        ended = 0
        while ended < 3:
            claims = await lanes.claim()
            if claims and ended == 0:
                await producer.job(claims[0].job_id).cancel()
            await asyncio.gather(*(lanes.done(claim) for claim in claims))
            ended += len(claims)
            await asyncio.sleep(0)
        await (await fanning).wait(timeout=30)

    for _ in range(20):
        await lanes.redis.flushall()
        assert await completions(lanes.redis, "b", race) == 1
