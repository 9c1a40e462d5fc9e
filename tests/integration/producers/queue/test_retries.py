"""Retrying what failed of a batch: its dead letters are sent again, as a batch of their own."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import BatchNotFound, DeadLetterNotFound, Outcome, Producer, ProducerSettings, SettingsChange
from tests.support.changes import change, numbered
from tests.support.dead_letters import EXHAUSTED, LANE, REJECTED, listed, sent_values
from tests.support.fan_outs import end_all, end_some, to_users, users
from tests.support.lanes import Lanes


async def test_failed_changes_of_a_batch_are_retried_as_a_batch(producer: Producer, lanes: Lanes) -> None:
    """In their order; the counts of the first batch stay, and nothing is left to retry."""
    batch = await producer.fan_out(numbered(6), batch_id="july")
    for number in range(6):
        await lanes.done(await lanes.claim_one(), (Outcome.APPLIED, REJECTED)[number % 2])

    again = await batch.retry_failed()

    assert again.batch_id != "july"
    assert (await again.progress()).total == 3
    assert await sent_values(lanes) == ["2", "4", "6"]
    assert (await again.wait(timeout=30)).outcomes == {Outcome.APPLIED: 3}
    assert (await batch.progress()).outcomes == {Outcome.APPLIED: 3, REJECTED: 3}
    with pytest.raises(DeadLetterNotFound, match="batch july has no dead letters"):
        await batch.retry_failed()
    with pytest.raises(DeadLetterNotFound):
        await again.retry_failed()
    with pytest.raises(BatchNotFound, match="no batch nope"):
        await producer.batch("nope").retry_failed()


async def test_the_failures_of_a_cause_are_retried_alone_and_the_batch_names_its_retries(
    producer: Producer, lanes: Lanes, redis: ArqRedis
) -> None:
    """Each of them once, in their order; not a batch that has expired meanwhile."""
    batch = await to_users(producer, users(4), "july")
    codes = [{"code": "40017"}, {"code": "40018"}, {}, {}]
    await end_some(lanes, [(outcome, code) for outcome, code in zip([REJECTED] * 3 + [EXHAUSTED], codes, strict=True)])

    by_code = await batch.retry_failed(code="40017")
    by_outcome = await batch.retry_failed(outcome=EXHAUSTED)
    await batch.retry_failed(outcome=REJECTED, code="none", batch_id="rest")
    await batch.retry_failed(outcome=REJECTED, code="none", batch_id="rest")
    named = (await batch.progress()).retried_as
    await redis.delete(KEYS.batch + "july")
    await batch.retry_failed()

    assert [(await each.progress()).total for each in (by_code, by_outcome)] == [1, 1]
    assert named == [by_code.batch_id, by_outcome.batch_id, "rest"]
    assert await redis.exists(KEYS.batch + "july") == 0


async def test_letters_whose_lanes_are_full_stay_over_repeated_retries(redis: ArqRedis, lanes: Lanes) -> None:
    """The batch of retries is the same one."""
    producer = Producer(redis, ProducerSettings(lane_limit=1))
    batch = await to_users(producer, ["1001"], "july")
    await end_all(lanes, REJECTED)
    await producer.enqueue(change("1001"), job_id="in-the-way")

    for _ in range(3):
        report = (await batch.retry_failed()).report
        assert report is not None
        assert (report.accepted, len(report.refused)) == (0, 1)
        assert await listed(producer) == ["july..1001"]
    await end_all(lanes)
    report = (await batch.retry_failed()).report

    assert report is not None
    assert report.accepted == 1
    assert await listed(producer) == []
    assert len(await sent_values(lanes)) == 1


async def test_an_interrupted_retry_is_continued_by_the_same_batch(producer: Producer, lanes: Lanes) -> None:
    """The letters are restored as if the retry had stopped before it removed them."""
    batch = await to_users(producer, users(5), "july")
    await end_all(lanes, REJECTED)
    letters = {name: await lanes.redis.dump(name) for name in await lanes.redis.keys("copytrade:letter:*")}
    index = await lanes.redis.zrange(KEYS.dead_letters + REJECTED, 0, -1, withscores=True)

    first = await batch.retry_failed()
    for name, value in letters.items():
        await lanes.redis.restore(name, 0, value or b"")
    await lanes.redis.zadd(KEYS.dead_letters + REJECTED, dict(index))
    both = await asyncio.gather(batch.retry_failed(), batch.retry_failed(), return_exceptions=True)

    again = [each for each in both if not isinstance(each, BaseException)]
    assert {each.batch_id for each in again} == {first.batch_id}
    assert all(isinstance(each, DeadLetterNotFound) for each in both if isinstance(each, BaseException))
    assert (await first.progress()).total == 5
    assert len(await end_all(lanes)) == 5


async def test_a_retry_with_an_id_that_was_interrupted_is_completed_by_the_next(
    producer: Producer, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each letter is sent once, though fewer are left; a third call only drops what the index still has of them."""
    batch = await to_users(producer, users(5), "july")
    await end_all(lanes, REJECTED)
    index = await lanes.redis.zrange(KEYS.dead_letters + REJECTED, 0, -1, withscores=True)

    monkeypatch.setattr("producers.queue.replay.READ_BATCH_SIZE", 2)
    monkeypatch.setattr("producers.queue.replay.seal", stopped)
    with pytest.raises(ConnectionAbortedError):
        await batch.retry_failed(batch_id="again")
    monkeypatch.undo()
    second = await batch.retry_failed(batch_id="again")
    await lanes.redis.zadd(KEYS.dead_letters + REJECTED, dict(index))
    third = await batch.retry_failed(batch_id="again")

    assert second.batch_id == third.batch_id == "again"
    assert (await second.progress()).total == 5
    assert (await second.progress()).sealed
    assert await producer.dead.count() == 0
    assert len(await end_all(lanes)) == 5


def stopped(*_: object, **__: object) -> None:
    """Fail as if the process had ended here."""
    raise ConnectionAbortedError


async def test_what_a_cancelled_retry_has_not_sent_is_retried_as_another_batch(
    producer: Producer, lanes: Lanes
) -> None:
    """Nothing can be added to the one that was cut off, and then cancelled."""
    batch = await to_users(producer, users(3), "july")
    await end_all(lanes, REJECTED)
    first = await batch.next_retry()
    assert first is not None
    assert sum(first.counts.values()) == 3
    await lanes.redis.hset(f"{KEYS.batch}{first.batch_id}", "cancelled_at", "1")  # type: ignore[misc]

    again = await batch.retry_failed()

    assert again.batch_id != first.batch_id
    assert (await again.progress()).total == 3


async def test_a_failed_retry_can_be_retried(producer: Producer, lanes: Lanes) -> None:
    """Also of batches with the longest ID."""
    batch = await to_users(producer, users(3), "b" * 64)
    names = {batch.batch_id}
    for _ in range(3):
        await end_all(lanes, EXHAUSTED)
        batch = await batch.retry_failed()
        assert batch.batch_id not in names
        assert len(batch.batch_id) <= 64
        names.add(batch.batch_id)

    assert len(await end_all(lanes)) == 3


async def test_a_retry_and_a_replay_at_once_submit_each_letter_once(producer: Producer, lanes: Lanes) -> None:
    """30 letters of one lane end up as 30 queued changes."""
    changes: list[SettingsChange] = numbered(30)
    batch = await producer.fan_out(changes, batch_id="b")
    for _ in changes:
        await lanes.done(await lanes.claim_one(), Outcome.REJECTED)

    await asyncio.gather(batch.retry_failed(), producer.dead.replay(batch_id="b"), return_exceptions=True)

    assert len(await lanes.queued(LANE)) == len(changes)
