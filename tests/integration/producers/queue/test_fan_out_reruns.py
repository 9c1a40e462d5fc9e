"""Fanning out again under the same batch ID: only what is missing is added, and what contradicts changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq.connections import ArqRedis

from producers import Batch, BatchConflict, Outcome, Priority, Producer, ProducerSettings, SettingsChange
from producers.contract import keyspace
from producers.queue.submit import NO_DIGEST, ChunkDigest, Submission, SubmitOptions, submit
from tests.support.changes import TRADER, change, numbered, setting
from tests.support.fan_outs import end_all, failing_after, same, to_users, users, where_consistent
from tests.support.lanes import Lanes, contents

CHUNK_SIZE = 20
MANY = 2 * CHUNK_SIZE + 5
LANE = keyspace.lane("1001", TRADER)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their size is nothing to these tests; test_fan_out.py has those of the true one."""
    monkeypatch.setattr("producers.queue.chunking.CHUNK_SIZE", CHUNK_SIZE)


def added(batch: Batch) -> tuple[int, int]:
    """How many changes a run accepted, and found."""
    assert batch.report is not None
    return batch.report.accepted, batch.report.already_there


@pytest.mark.parametrize("broke_after", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, MANY - 1])
async def test_a_run_after_one_that_broke_adds_what_is_missing(
    producer: Producer, lanes: Lanes, broke_after: int
) -> None:
    """Each user has one change, and the total is exact."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), broke_after))

    batch = await to_users(producer, users(MANY))

    assert sum(added(batch)) == MANY
    assert (await where_consistent(batch)).total == MANY
    assert await lanes.redis.zcard(keyspace.LANES) == MANY
    assert sorted(await end_all(lanes)) == sorted(f"b//{user}" for user in users(MANY))
    assert (await where_consistent(batch)).complete


@pytest.mark.parametrize("broke_after", [1, CHUNK_SIZE, CHUNK_SIZE + 1, MANY - 1])
async def test_changes_that_broke_off_go_on_in_their_order(producer: Producer, lanes: Lanes, broke_after: int) -> None:
    """One lane: nothing twice, nothing out of order."""
    with pytest.raises(LookupError):
        await producer.fan_out(failing_after(numbered(MANY), broke_after), batch_id="b")

    batch = await producer.fan_out(numbered(MANY), batch_id="b")

    assert await lanes.queued(LANE) == [f"b//{number}" for number in range(MANY)]
    assert (await where_consistent(batch)).total == MANY


async def test_users_may_come_in_another_order_the_next_time(producer: Producer) -> None:
    """Their changes are theirs wherever they come, over the edges of chunks."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))

    batch = await to_users(producer, reversed(users(MANY)))

    assert sum(added(batch)) == MANY
    assert (await where_consistent(batch)).total == MANY


async def test_a_run_adds_what_is_missing_while_the_first_changes_end(producer: Producer, lanes: Lanes) -> None:
    """What has ended in between is not sent again."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    ended = await end_all(lanes)
    between = await where_consistent(producer.batch("b"))
    assert (between.ended, between.total, between.complete) == (CHUNK_SIZE, CHUNK_SIZE, False)

    batch = await to_users(producer, users(MANY))

    assert added(batch) == (MANY - CHUNK_SIZE, CHUNK_SIZE)
    assert not set(ended) & set(await end_all(lanes))
    assert (await batch.wait(timeout=5)).outcomes == {Outcome.APPLIED: MANY}


async def test_what_ended_is_not_sent_again_though_its_results_expired(producer: Producer, lanes: Lanes) -> None:
    """The batch remembers what it was given for as long as it lives."""
    with pytest.raises(LookupError):
        await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    for job_id in await end_all(lanes):
        await lanes.redis.delete(keyspace.RESULT + job_id)

    batch = await to_users(producer, users(MANY))

    assert added(batch) == (MANY - CHUNK_SIZE, CHUNK_SIZE)
    assert (await where_consistent(batch)).total == MANY


@pytest.mark.parametrize("ended", [False, True])
async def test_the_same_again_adds_nothing_and_is_no_conflict(producer: Producer, lanes: Lanes, ended: bool) -> None:
    """Sealed, or complete: the handle says that all was there."""
    await to_users(producer, users(CHUNK_SIZE + 1), "users")
    await producer.fan_out(numbered(CHUNK_SIZE + 1), batch_id="changes")
    if ended:
        await end_all(lanes)
    before = await contents(lanes.redis)

    batch = await to_users(producer, users(CHUNK_SIZE + 1), "users")
    others = await producer.fan_out(numbered(CHUNK_SIZE + 1), batch_id="changes")

    assert added(batch) == added(others) == (0, CHUNK_SIZE + 1)
    assert await contents(lanes.redis) == before


async def test_the_same_again_at_the_same_time_adds_nothing_twice(producer: Producer, lanes: Lanes) -> None:
    """A job that was started twice."""
    batches = await asyncio.gather(*(to_users(producer, users(MANY)) for _ in range(3)), return_exceptions=True)

    assert sum(batch.report.accepted for batch in batches if isinstance(batch, Batch) and batch.report) == MANY
    assert (await where_consistent(producer.batch("b"))).total == MANY
    assert await lanes.redis.zcard(keyspace.LANES) == MANY


async def test_a_lane_that_was_full_may_be_filled_by_running_again(redis: ArqRedis) -> None:
    """What was missing for lack of room is what is missing."""
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
    assert (await last.wait(timeout=5)).outcomes == {Outcome.APPLIED: 2}


Again = Callable[[Producer], Awaitable[Any]]

CONFLICTS: dict[str, Again] = {
    "another setting": lambda producer: to_users(producer, users(MANY), value="2"),
    "another trader": lambda producer: producer.fan_out(
        trader_id="t2", settings=[setting()], user_ids=users(MANY), batch_id="b"
    ),
    "changes instead of a template": lambda producer: producer.fan_out([change("1")], batch_id="b"),
    "nothing of another kind": lambda producer: producer.fan_out([], batch_id="b"),
}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("again", CONFLICTS.values(), ids=CONFLICTS)
async def test_another_fan_out_under_the_same_name_changes_nothing(
    producer: Producer, redis: ArqRedis, again: Again, sealed: bool
) -> None:
    """Sealed, or broken off in the middle: not one key."""
    if sealed:
        await to_users(producer, users(MANY))
    else:
        with pytest.raises(LookupError):
            await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    before = await contents(redis)

    with pytest.raises(BatchConflict, match=r"^batch b: it was begun with other content; nothing was changed"):
        await again(producer)

    assert await contents(redis) == before


def replaced(place: int, count: int = MANY) -> list[SettingsChange]:
    """Changes of which one is another."""
    return [*numbered(count)[:place], *same([change("1001")], "9"), *numbered(count)[place + 1 :]]


@pytest.mark.parametrize(
    "changes",
    [
        replaced(0),
        replaced(CHUNK_SIZE),
        replaced(MANY - 1),
        numbered(MANY - 1),
        numbered(MANY + 1),
        numbered(MANY)[::-1],
    ],
    ids=["first", "in the second chunk", "last", "one less", "one more", "another order"],
)
async def test_other_changes_under_the_same_name_change_nothing(
    producer: Producer, redis: ArqRedis, changes: list[SettingsChange]
) -> None:
    """Wherever the first difference is."""
    await producer.fan_out(numbered(MANY), batch_id="b")
    before = await contents(redis)

    with pytest.raises(BatchConflict, match="nothing was changed"):
        await producer.fan_out(changes, batch_id="b")

    assert await contents(redis) == before


async def test_a_sealed_batch_takes_no_further_user(producer: Producer, redis: ArqRedis) -> None:
    """Among those that it has; whole chunks that it has are no conflict."""
    await to_users(producer, users(CHUNK_SIZE))
    before = await contents(redis)

    with pytest.raises(BatchConflict, match=r"^batch b: it is sealed and this would add to it; nothing was changed"):
        await to_users(producer, [*users(CHUNK_SIZE), "new"])

    assert await contents(redis) == before


@pytest.mark.parametrize("broken", [False, True])
async def test_a_cancelled_batch_takes_nothing_more(producer: Producer, redis: ArqRedis, broken: bool) -> None:
    """Not even what it had."""
    if broken:
        with pytest.raises(LookupError):
            await to_users(producer, failing_after(users(MANY), CHUNK_SIZE))
    else:
        await to_users(producer, users(MANY))
    await producer.batch("b").cancel()
    before = await contents(redis)

    with pytest.raises(BatchConflict, match=r"^batch b: it was cancelled"):
        await to_users(producer, users(MANY))

    assert await contents(redis) == before


async def test_a_batch_that_is_cancelled_while_it_is_given_ends_with_what_it_had(
    producer: Producer, lanes: Lanes
) -> None:
    """The producer in the middle of it is told; nothing is left over."""

    async def interrupted() -> Any:
        for number, user in enumerate(users(20 * CHUNK_SIZE)):
            if number == 10 * CHUNK_SIZE:
                await producer.batch("b").cancel()
            yield user

    with pytest.raises(BatchConflict, match="cancelled"):
        await to_users(producer, interrupted())
    await producer.batch("b").cancel()

    progress = await producer.batch("b").wait(timeout=5)
    assert progress.outcomes == {Outcome.CANCELLED: progress.total}
    assert await lanes.redis.zcard(keyspace.LANES) == 0


async def test_two_batches_of_the_same_users_are_apart(producer: Producer, lanes: Lanes) -> None:
    """Each user gets both, in the order of the batches."""
    await to_users(producer, users(2), "x")
    await to_users(producer, users(2), "y", priority=Priority.BULK)

    assert await lanes.queued(keyspace.lane("1", TRADER)) == ["x//1", "y//1"]
    assert await end_all(lanes) == ["x//1", "x//2", "y//1", "y//2"]


async def test_a_chunk_is_refused_whose_run_parted_from_the_batch_before(redis: ArqRedis) -> None:
    """Whoever lost the race for one chunk adds no later one."""
    options = SubmitOptions(1000, batch_id="b", content="changes")

    async def add(number: int, user: str, *, chunk: ChunkDigest, after: ChunkDigest = NO_DIGEST) -> list[int]:
        one = Submission.from_change(change(user), f"b//{number}", options, now_ms=1_000, ttl_ms=60_000)
        call = submit([one], options, chunk=chunk, after=after)
        return list((await call.script.run(redis, call.keys, call.args))[1:])

    ours, theirs = ChunkDigest("c0", "ours"), ChunkDigest("c0", "theirs")
    assert await add(0, "1", chunk=ours) == [1]
    assert await add(0, "2", chunk=theirs) == [-2]
    assert await add(1, "2", chunk=ChunkDigest("c1", "theirs, two"), after=theirs) == [-2]

    assert await add(1, "1", chunk=ChunkDigest("c1", "ours, two"), after=ours) == [2]


async def test_two_producers_of_one_batch_with_other_changes_cannot_both_fail(valkey: ArqRedis) -> None:
    """One of them is told of the other; the batch is one of the two."""
    changes = {name: [change(f"{name}{number}") for number in range(1500)] for name in "ab"}
    runs = [Producer(valkey).fan_out(changes[name], batch_id="b") for name in changes]

    ended = await asyncio.gather(*runs, return_exceptions=True)

    assert sorted(isinstance(end, BatchConflict) for end in ended) == [False, True]
    users = {lane.decode()[0] for lane in await valkey.zrange(keyspace.LANES, 0, -1)}
    assert len(users) == 1
