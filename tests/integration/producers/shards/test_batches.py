"""A batch that spans shards: its counters, results, end, and what is refused later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from producers import (
    Batch,
    BatchConflict,
    BatchNotFound,
    Outcome,
    Producer,
    QueueUnavailable,
    ResultTimeout,
    SettingsChange,
)
from producers.contract.keyspace import Keyspace
from producers.queue import replay
from producers.queue.fan_out import FanOutReport
from producers.transport.plan import Plan
from tests.support.changes import change, setting
from tests.support.sharded import ShardedLanes

USERS = [str(1000 + number) for number in range(40)]


async def fan_out(producer: Producer, user_ids: list[str], batch_id: str) -> Batch:
    """Enqueue one setting for users."""
    return await producer.fan_out(trader_id="t1", settings=[setting()], user_ids=user_ids, batch_id=batch_id)


async def test_the_progress_of_a_batch_is_the_sum_of_its_parts(producer: Producer, lanes: ShardedLanes) -> None:
    """It is complete when all of them are."""
    batch = await fan_out(producer, USERS, "july")
    first = await lanes.parts[0].claim()
    for claim in first:
        await lanes.done(claim)
    half = await batch.progress()
    with pytest.raises(ResultTimeout):
        await batch.wait(timeout=0)
    waiting = asyncio.create_task(producer.batch("july").wait(timeout=30))
    await lanes.drain(Outcome.APPLIED, Outcome.REJECTED)
    whole = await waiting

    assert (half.total, half.ended, half.sealed, half.complete) == (len(USERS), len(first), True, False)
    assert (whole.total, whole.ended, whole.queued, whole.complete) == (len(USERS), len(USERS), 0, True)
    assert whole.finished_at_ms is not None
    assert len([failed async for failed in batch.failures()]) == whole.outcomes["rejected"]


async def test_a_batch_that_is_in_no_shard_is_not_found(producer: Producer) -> None:
    """By any call."""
    batch = producer.batch("none")
    for call in (batch.progress(), batch.wait(), batch.cancel(), batch.page(), batch.retry_failed(), batch.seal()):
        with pytest.raises(BatchNotFound):
            await call


async def test_results_are_merged_by_time_and_read_on_from_any_cursor(producer: Producer, lanes: ShardedLanes) -> None:
    """Each result once, whatever the size of the pages."""
    batch = await fan_out(producer, USERS, "july")
    claims = sorted(await lanes.claim(), key=lambda claim: claim.lane)
    for claim in claims:
        await lanes.done(claim)
    expected = sorted(claim.job_id for claim in claims)

    streamed = [result async for result in batch.results()]
    whole = await batch.page(limit=1000)
    assert sorted(result.job_id for result in streamed) == expected
    assert [result.job_id for result in whole.results] == [result.job_id for result in streamed]
    latest = [max(int(place.split("-")[0]) for place in each.split(",") if place) for each in whole.positions]
    assert latest == sorted(latest)
    for limit in (1, 3, 7, 1000):
        cursor, read, complete = None, list[str](), False
        while not complete:
            page = await batch.page(cursor, limit)
            assert len(page.results) == len(page.positions) <= limit
            read += [result.job_id for result in page.results]
            assert page.cursor != cursor
            assert page.is_full or page.complete
            cursor, complete = page.cursor, page.complete
        assert (sorted(read), len(read)) == (expected, len(expected))
    stream = batch.results()
    head = [(await anext(stream)).job_id for _ in range(11)]
    rest = [result.job_id async for result in batch.results(after=stream.cursor)]
    assert sorted([*head, *rest]) == expected


async def test_a_stream_waits_for_the_results_of_every_shard(producer: Producer, lanes: ShardedLanes) -> None:
    """And ends when the last part is complete."""
    batch = await fan_out(producer, USERS, "july")

    async def read() -> list[str]:
        return [result.job_id async for result in batch.results()]

    reading = asyncio.create_task(read())
    ended = await lanes.drain()

    async with asyncio.timeout(30):
        assert sorted(await reading) == sorted(ended)


async def test_a_fan_out_that_runs_again_adds_only_what_is_missing(producer: Producer, lanes: ShardedLanes) -> None:
    """Of many different changes too, whose chunks must be equal."""
    changes = [change(user, value=str(place + 1)) for place, user in enumerate(USERS)]

    async def cut_off() -> AsyncIterator[SettingsChange]:
        for one in changes:
            yield one
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError):
        await producer.fan_out(cut_off(), batch_id="july")
    report = (await producer.fan_out(changes, batch_id="july")).report
    again = (await producer.fan_out(changes, batch_id="july")).report

    assert report is not None
    assert again is not None
    assert (report.accepted + report.already_there, report.refused) == (len(USERS), [])
    assert (again.accepted, again.already_there) == (0, len(USERS))
    assert len(await lanes.drain()) == len(USERS)
    with pytest.raises(BatchConflict, match="other content"):
        await producer.fan_out(list(reversed(changes)), batch_id="july")


async def test_a_sealed_batch_refuses_users_of_shards_that_have_no_part_of_it(producer: Producer) -> None:
    """A batch is sealed in every shard."""
    await fan_out(producer, USERS[:1], "july")
    for user in USERS[1:9]:
        with pytest.raises(BatchConflict, match="sealed"):
            await fan_out(producer, [USERS[0], user], "july")

    assert (await producer.batch("july").progress()).total == 1
    assert (await (await fan_out(producer, [], "empty")).wait(timeout=0)).complete


async def test_changes_are_added_to_a_batch_one_by_one_until_it_is_sealed(
    producer: Producer, lanes: ShardedLanes
) -> None:
    """Then by no shard any more."""
    for user in USERS[:2]:
        await producer.enqueue(change(user), batch_id="cart")
    batch = producer.batch("cart")
    before = await batch.progress()
    await batch.seal()
    for user in USERS[:9]:
        with pytest.raises(BatchConflict, match="sealed"):
            await producer.enqueue(change(user), batch_id="cart")
    await lanes.drain()

    assert (before.total, before.sealed) == (2, False)
    assert (await batch.wait(timeout=30)).outcomes == {"applied": 2}


async def test_a_batch_is_cancelled_in_every_shard(producer: Producer, lanes: ShardedLanes) -> None:
    """Also where it has no part yet: nothing can be added to it."""
    for user in USERS[:2]:
        await producer.enqueue(change(user), batch_id="cart")
    report = await producer.batch("cart").cancel()
    for user in USERS[:9]:
        with pytest.raises(BatchConflict):
            await producer.enqueue(change(user), batch_id="cart")

    assert (report.cancelled, report.in_flight) == (2, 0)
    assert (await producer.batch("cart").wait(timeout=30)).outcomes == {"cancelled": 2}
    assert await lanes.drain() == []


async def test_what_failed_is_retried_as_one_batch(producer: Producer, lanes: ShardedLanes) -> None:
    """Whose ID is the same when the call is repeated with it."""
    batch = await fan_out(producer, USERS, "july")
    await lanes.drain(Outcome.REJECTED, Outcome.APPLIED)
    planned = await batch.next_retry()
    retried = await batch.retry_failed()
    again = await batch.retry_failed(batch_id=retried.batch_id)
    ended = await lanes.drain()

    assert planned is not None
    assert retried.report is not None
    assert again.report is not None
    assert retried.batch_id == planned.batch_id
    assert sum(planned.counts.values()) == retried.report.accepted == again.report.already_there == len(ended)
    assert (await retried.wait(timeout=30)).outcomes == {"applied": len(ended)}
    assert (await batch.progress()).retried_as == [retried.batch_id]
    assert await batch.next_retry() is None


async def test_a_retry_that_was_cut_off_is_completed_by_repeating_it(
    producer: Producer, lanes: ShardedLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letter that names the new batch is sent last, whichever shard fails."""
    batch = await fan_out(producer, USERS, "july")
    await lanes.drain(Outcome.REJECTED)
    planned = await batch.next_retry()
    assert planned is not None
    for number, part in enumerate(lanes.parts[::-1]):
        with monkeypatch.context() as broken:
            broken.setattr("producers.client.batch_parts.replay.retry_batch", _failing(part.keys))
            with pytest.raises(QueueUnavailable):
                await batch.retry_failed()
        following = await batch.next_retry()
        assert following is not None, number
        assert following.batch_id == planned.batch_id
    retried = await batch.retry_failed()
    ended = await lanes.drain()

    assert retried.batch_id == planned.batch_id
    assert len(ended) == len(USERS)
    assert (await retried.wait(timeout=30)).outcomes == {"applied": len(USERS)}


def _failing(broken: Keyspace) -> Callable[..., Plan[FanOutReport]]:
    """Return what retries letters everywhere but in one shard, which is away."""
    works = replay.retry_batch

    def plan(keys: Keyspace, *arguments: Any) -> Plan[FanOutReport]:
        if keys is broken:
            raise QueueUnavailable("a test's")
        return (yield from works(keys, *arguments))

    return plan


async def test_batches_are_listed_with_all_their_parts_newest_first(producer: Producer) -> None:
    """Page by page, and by the beginning of their IDs."""
    for number in range(7):
        await fan_out(producer, USERS[: number + 1], f"b{number}")

    listed = await producer.batches()
    second = await producer.batches(2, skip=2)
    named = await producer.batches(prefix="b3")

    assert [(found.batch_id, found.total) for found in listed] == [(f"b{number}", number + 1) for number in range(7)][
        ::-1
    ]
    assert [found.batch_id for found in second] == ["b4", "b3"]
    assert [found.batch_id for found in named] == ["b3"]
