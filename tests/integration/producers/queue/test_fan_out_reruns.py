"""A fan-out again under the same batch ID: only what is missing is added."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Batch, Outcome, Priority, Producer, ProducerSettings
from producers.contract import keyspace
from tests.support.changes import TRADER, change, numbered
from tests.support.contents import contents
from tests.support.fan_outs import end_all, failing_after, to_users, users, where_consistent
from tests.support.lanes import Lanes

CHUNK_SIZE = 20
MANY = 2 * CHUNK_SIZE + 5
LANE = keyspace.lane("1001", TRADER)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.queue.chunks.CHUNK_SIZE", CHUNK_SIZE)


def added(batch: Batch) -> tuple[int, int]:
    """Return how many changes a run accepted, and how many it found."""
    assert batch.report is not None
    return batch.report.accepted, batch.report.already_there


@pytest.mark.parametrize("broke_after", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, MANY - 1])
async def test_a_rerun_after_a_failed_run_adds_what_is_missing(
    producer: Producer, lanes: Lanes, broke_after: int
) -> None:
    """Each user has one change, and the total is exact."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), broke_after))

    batch = await to_users(producer, users(MANY))

    assert sum(added(batch)) == MANY
    assert (await where_consistent(batch)).total == MANY
    assert await lanes.redis.zcard(KEYS.bulk_schedule) == MANY
    assert sorted(await end_all(lanes)) == sorted(f"b..{user}" for user in users(MANY))
    assert (await where_consistent(batch)).complete


@pytest.mark.parametrize("broke_after", [1, CHUNK_SIZE, CHUNK_SIZE + 1, MANY - 1])
async def test_a_rerun_of_changes_of_one_lane_keeps_their_order(
    producer: Producer, lanes: Lanes, broke_after: int
) -> None:
    """Wherever the first run broke off, at or between the edges of its chunks."""
    with pytest.raises(LookupError):
        await producer.fan_out(failing_after(numbered(MANY), broke_after), batch_id="b")

    batch = await producer.fan_out(numbered(MANY), batch_id="b")

    assert await lanes.queued(LANE) == [f"b..{number}" for number in range(MANY)]
    assert (await where_consistent(batch)).total == MANY


async def test_a_rerun_may_give_the_users_in_another_order(producer: Producer) -> None:
    """IDs depend on the user and not on the place, so none is added twice."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))

    batch = await to_users(producer, reversed(users(MANY)))

    assert sum(added(batch)) == MANY
    assert (await where_consistent(batch)).total == MANY


async def test_a_rerun_adds_what_is_missing_while_the_first_changes_end(producer: Producer, lanes: Lanes) -> None:
    """Changes that have ended meanwhile are not submitted again."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    ended = await end_all(lanes)
    between = await where_consistent(producer.batch("b"))
    assert (between.ended, between.total, between.complete) == (CHUNK_SIZE, CHUNK_SIZE, False)

    batch = await to_users(producer, users(MANY))

    assert added(batch) == (MANY - CHUNK_SIZE, CHUNK_SIZE)
    assert not set(ended) & set(await end_all(lanes))
    assert (await batch.wait(timeout=30)).outcomes == {Outcome.APPLIED: MANY}


async def test_a_rerun_does_not_submit_ended_changes_again_though_their_results_expired(
    producer: Producer, lanes: Lanes
) -> None:
    """The batch keeps the IDs of its members as long as it exists."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    for job_id in await end_all(lanes):
        await lanes.redis.delete(KEYS.result + job_id)

    batch = await to_users(producer, users(MANY))

    assert added(batch) == (MANY - CHUNK_SIZE, CHUNK_SIZE)
    assert (await where_consistent(batch)).total == MANY


@pytest.mark.parametrize("ended", [False, True])
async def test_a_rerun_of_a_sealed_or_complete_batch_adds_nothing(
    producer: Producer, lanes: Lanes, ended: bool
) -> None:
    """The contents of Redis stay the same, for a template and for given changes."""
    await to_users(producer, users(CHUNK_SIZE + 1), "users")
    await producer.fan_out(numbered(CHUNK_SIZE + 1), batch_id="changes")
    if ended:
        await end_all(lanes)
    before = await contents(lanes.redis)

    batch = await to_users(producer, users(CHUNK_SIZE + 1), "users")
    others = await producer.fan_out(numbered(CHUNK_SIZE + 1), batch_id="changes")

    assert added(batch) == added(others) == (0, CHUNK_SIZE + 1)
    assert await contents(lanes.redis) == before


async def test_the_changes_of_a_rerun_have_the_deadline_of_the_rerun(producer: Producer, lanes: Lanes) -> None:
    """Those that were added before keep theirs, though all share what the batch stores."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE), ttl_s=50)

    await to_users(producer, users(MANY), ttl_s=70)

    deadlines = {claim.job_id: claim.stored.ttl_ms for claim in await lanes.claim()}
    before, after = users(MANY)[:CHUNK_SIZE], users(MANY)[CHUNK_SIZE:]
    assert deadlines == {f"b..{user}": 50_000 for user in before} | {f"b..{user}": 70_000 for user in after}


async def test_two_runs_at_the_same_time_add_each_change_once(producer: Producer, lanes: Lanes) -> None:
    """Three runs in fact; those that do not fail add up to the whole batch."""
    batches = await asyncio.gather(*(to_users(producer, users(MANY)) for _ in range(3)), return_exceptions=True)

    assert sum(batch.report.accepted for batch in batches if isinstance(batch, Batch) and batch.report) == MANY
    assert (await where_consistent(producer.batch("b"))).total == MANY
    assert await lanes.redis.zcard(KEYS.bulk_schedule) == MANY


async def test_a_rerun_adds_changes_whose_lanes_were_full(redis: ArqRedis) -> None:
    """They are refused again until the lane has room, then the batch completes."""
    producer, lanes = Producer(redis, ProducerSettings(lane_limit=1)), Lanes(redis)
    await producer.enqueue(change("1"))
    first = await to_users(producer, users(2))
    again = await to_users(producer, users(2))
    assert (added(first), added(again)) == ((1, 0), (0, 1))
    assert again.report is not None
    assert [refusal.user_id for refusal in again.report.refused] == ["1"]

    await end_all(lanes)
    last = await to_users(producer, users(2))

    assert added(last) == (1, 1)
    await end_all(lanes)
    assert (await last.wait(timeout=30)).outcomes == {Outcome.APPLIED: 2}


async def test_two_batches_of_the_same_users_are_independent(producer: Producer, lanes: Lanes) -> None:
    """Each user gets both changes, in the order of the batches."""
    await to_users(producer, users(2), "x")
    await to_users(producer, users(2), "y", priority=Priority.BULK)

    assert await lanes.queued(keyspace.lane("1", TRADER)) == ["x..1", "y..1"]
    assert await end_all(lanes) == ["x..1", "x..2", "y..1", "y..2"]
