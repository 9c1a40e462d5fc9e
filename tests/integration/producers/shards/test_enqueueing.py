"""Changes go to the shard of their user, and reports are as they are without shards."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from producers import Cancellation, LayoutMismatch, Producer
from producers.contract.shards import shard_of
from producers.queue.chunks import CHUNK_SIZE
from producers.queue.jobs import JobState
from producers.transport.shards import Shards, open_shards
from tests.support.changes import change, numbered
from tests.support.sharded import SHARDS, ShardedLanes

USERS = [str(1000 + number) for number in range(8)]
MANY = [str(1000 + number) for number in range(SHARDS * CHUNK_SIZE + 7)]


async def test_a_change_is_in_the_shard_of_its_user_and_found_by_its_id_alone(
    producer: Producer, lanes: ShardedLanes
) -> None:
    """All shards are asked."""
    jobs = [await producer.enqueue(change(user)) for user in USERS]
    states = [await producer.job(job.job_id).status() for job in jobs]
    claims = [[claim.job_id for claim in await part.claim()] for part in lanes.parts]

    assert len({shard_of(user, SHARDS) for user in USERS}) == SHARDS
    assert [(state.state, state.position) for state in states] == [(JobState.QUEUED, 0)] * len(USERS)
    for number, job_ids in enumerate(claims):
        own = [job.job_id for user, job in zip(USERS, jobs, strict=True) if shard_of(user, SHARDS) == number]
        assert sorted(job_ids) == sorted(own)


async def test_a_result_is_waited_for_by_the_id_alone(producer: Producer, lanes: ShardedLanes) -> None:
    """And by the handle that enqueueing returned."""
    jobs = [await producer.enqueue(change(user)) for user in USERS]
    waiting = [asyncio.create_task(producer.job(job.job_id).result(timeout=30)) for job in jobs]

    await lanes.drain()

    job_ids = [job.job_id for job in jobs]
    assert [(await each).job_id for each in waiting] == job_ids
    assert [(await job.result(timeout=30)).job_id for job in jobs] == job_ids


async def test_a_change_is_cancelled_by_its_id_alone(producer: Producer, lanes: ShardedLanes) -> None:
    """What is in no shard is not found, and has no details."""
    jobs = [await producer.enqueue(change(user)) for user in USERS]

    assert await producer.job(jobs[-1].job_id).cancel() is Cancellation.CANCELLED
    assert await producer.job("nowhere").cancel() is Cancellation.NOT_FOUND
    assert (await producer.job("nowhere").details()).status.state is JobState.NOT_FOUND
    assert (await producer.job(jobs[0].job_id).details()).change == change(USERS[0])
    assert len(await lanes.drain()) == len(USERS) - 1


async def test_many_changes_are_reported_in_the_given_order(producer: Producer, lanes: ShardedLanes) -> None:
    """Whatever shard each is in, and though the chunks of the shards are answered in another order."""
    changes = [change(user) for user in MANY]
    changes[3] = change("no user")

    report = await producer.enqueue_many(changes, job_id=lambda each: f"july-{each.user_id}")
    again = await producer.enqueue_many(changes[:9], job_id=lambda each: f"july-{each.user_id}")

    expected = [f"july-{user}" for place, user in enumerate(MANY) if place != 3]
    assert [job.job_id for job in report.jobs] == expected
    assert [(job.job_id, job.already_there) for job in again.jobs] == [(job_id, True) for job_id in expected[:8]]
    assert [refusal.index for refusal in report.refused] == [3]
    assert sorted(await lanes.drain()) == sorted(expected)


async def test_the_changes_of_a_lane_keep_their_order(producer: Producer, lanes: ShardedLanes) -> None:
    """Among many others, over several chunks."""
    changes = [one for pair in zip(numbered(600, "1001"), numbered(600, "1002"), strict=True) for one in pair]
    report = await producer.enqueue_many(changes)

    for user in ("1001", "1002"):
        own = [job.job_id for job, each in zip(report.jobs, changes, strict=True) if each.user_id == user]
        assert [claim.job_id for claim in await lanes.of(user).claim(1)] == own[:1]
    assert (await report.jobs[-1].status()).position == 599


async def test_a_queue_refuses_programs_with_another_number_of_shards(producer: Producer, valkey_dsn: str) -> None:
    """Before they read or write anything: each user would be in two places."""
    await producer.enqueue(change())
    for number in (1, 2 * SHARDS):
        others: Shards[Redis] = open_shards(valkey_dsn, Redis, shards=number, keyspace=None, timeout_s=5)
        other = Producer(others)
        with pytest.raises(LayoutMismatch, match=f"COPYTRADE_SHARDS={SHARDS}"):
            await other.enqueue(change())
        with pytest.raises(LayoutMismatch, match=f"COPYTRADE_SHARDS={SHARDS}"):
            await other.overview()
        await other.close()
        for client in others.all():
            await client.aclose()
