"""Batches that grow change by change, by `enqueue(batch_id=...)`, until they are sealed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from ops.keys import KEYS
from producers import BatchConflict, BatchNotFound, ChangeConflict, Producer
from tests.support.changes import change, setting
from tests.support.contents import contents
from tests.support.fan_outs import end_all
from tests.support.lanes import Lanes


async def test_a_batch_grows_by_one_change_at_a_time_and_is_complete_once_it_is_sealed(
    producer: Producer, redis: Redis, lanes: Lanes
) -> None:
    """Its results are in its stream before that; a change that comes after all have ended still belongs to it."""
    batch = producer.batch("b")
    for number, user in enumerate(("1001", "1002", "1003")):
        job = await producer.enqueue(change(user), job_id=user, batch_id="b")
        assert job.job_id == f"b..{user}"
        await end_all(lanes)
        progress = await batch.progress()
        assert (progress.total, progress.ended, progress.complete) == (number + 1, number + 1, False)
    await producer.enqueue(change("1001"), job_id="last", batch_id="b")
    assert await redis.pttl(KEYS.batch + "b") == -1

    await batch.seal()
    await batch.seal()
    assert not (await batch.progress()).complete
    await end_all(lanes)

    assert (await batch.wait(timeout=30)).complete
    assert [result.job_id async for result in batch.results()] == ["b..1001", "b..1002", "b..1003", "b..last"]


async def test_a_change_that_is_added_again_is_there_already_and_another_of_its_id_is_a_conflict(
    producer: Producer, redis: Redis
) -> None:
    """Also when the batch is sealed: a caller whose reply was lost repeats."""
    await producer.enqueue(change(), job_id="j", batch_id="b")
    await producer.batch("b").seal()
    before = await contents(redis)

    assert (await producer.enqueue(change(), job_id="j", batch_id="b")).already_there
    with pytest.raises(ChangeConflict, match=r"b\.\.j"):
        await producer.enqueue(change(value="9"), job_id="j", batch_id="b")

    assert await contents(redis) == before


async def _seal(producer: Producer) -> None:
    await producer.enqueue(change(), job_id="j", batch_id="b")
    await producer.batch("b").seal()


async def _cancel(producer: Producer) -> None:
    await producer.enqueue(change(), job_id="j", batch_id="b")
    await producer.batch("b").cancel()


async def _fan_out(producer: Producer) -> None:
    await producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1001"], batch_id="b")


CLOSED: dict[str, tuple[Callable[[Producer], Awaitable[None]], str]] = {
    "sealed": (_seal, "it is sealed"),
    "cancelled": (_cancel, "it was cancelled"),
    "a fan-out's": (_fan_out, "it was begun with other content"),
}


@pytest.mark.parametrize(("close", "reason"), CLOSED.values(), ids=CLOSED)
async def test_a_closed_batch_takes_no_further_change(
    producer: Producer, redis: Redis, close: Callable[[Producer], Awaitable[None]], reason: str
) -> None:
    """Nothing is written."""
    await close(producer)
    before = await contents(redis)

    with pytest.raises(BatchConflict, match=f"^batch b: {reason}.*nothing was changed"):
        await producer.enqueue(change(), job_id="new", batch_id="b")

    assert await contents(redis) == before


async def test_only_a_batch_that_grew_by_single_changes_is_sealed_by_hand(producer: Producer, redis: Redis) -> None:
    """A fan-out's is sealed by its fan-out, and one that does not exist is not begun."""
    await _fan_out(producer)
    before: Any = await contents(redis)

    with pytest.raises(BatchConflict, match="other content"):
        await producer.batch("b").seal()
    with pytest.raises(BatchNotFound, match="none"):
        await producer.batch("none").seal()

    assert await contents(redis) == before
