"""A fan-out that contradicts its batch changes nothing: other content, a sealed or cancelled batch, two producers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import BatchConflict, Outcome, Producer, SettingsChange
from producers.queue.submit import NO_DIGEST, ChunkDigest, Submission, SubmitOptions, submit
from tests.support.changes import change, numbered, setting
from tests.support.contents import contents
from tests.support.fan_outs import failing_after, same, to_users, users
from tests.support.lanes import Lanes

CHUNK_SIZE = 20


MANY = 2 * CHUNK_SIZE + 5

Again = Callable[[Producer], Awaitable[Any]]

CONFLICTS: dict[str, Again] = {
    "another setting": lambda producer: to_users(producer, users(MANY), value="2"),
    "another trader": lambda producer: producer.fan_out(
        trader_id="t2", settings=[setting()], user_ids=users(MANY), batch_id="b"
    ),
    "changes instead of a template": lambda producer: producer.fan_out([change("1")], batch_id="b"),
    "nothing of another kind": lambda producer: producer.fan_out([], batch_id="b"),
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.queue.chunks.CHUNK_SIZE", CHUNK_SIZE)


def replaced(place: int, count: int = MANY) -> list[SettingsChange]:
    """Return numbered changes, one of them replaced."""
    return [*numbered(count)[:place], *same([change("1001")], "9"), *numbered(count)[place + 1 :]]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("again", CONFLICTS.values(), ids=CONFLICTS)
async def test_a_fan_out_with_other_content_under_the_same_id_changes_no_key(
    producer: Producer, redis: ArqRedis, again: Again, sealed: bool
) -> None:
    """Of a sealed batch, and of one whose run failed half-way."""
    if sealed:
        await to_users(producer, users(MANY))
    else:
        with pytest.raises(LookupError):
            await to_users(producer, failing_after(users(MANY), CHUNK_SIZE + 1))
    before = await contents(redis)

    with pytest.raises(BatchConflict, match=r"^batch b: it was begun with other content; nothing was changed"):
        await again(producer)

    assert await contents(redis) == before


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
async def test_a_fan_out_of_other_changes_under_the_same_id_changes_no_key(
    producer: Producer, redis: ArqRedis, changes: list[SettingsChange]
) -> None:
    """Wherever the first difference is."""
    await producer.fan_out(numbered(MANY), batch_id="b")
    before = await contents(redis)

    with pytest.raises(BatchConflict, match="nothing was changed"):
        await producer.fan_out(changes, batch_id="b")

    assert await contents(redis) == before


async def test_a_sealed_batch_accepts_no_further_user(producer: Producer, redis: ArqRedis) -> None:
    """Whole chunks of known users are no conflict."""
    await to_users(producer, users(CHUNK_SIZE))
    before = await contents(redis)

    with pytest.raises(
        BatchConflict,
        match=r"^batch b: it is sealed: all of it was submitted, and this would add to it; nothing was changed",
    ):
        await to_users(producer, [*users(CHUNK_SIZE), "new"])

    assert await contents(redis) == before


@pytest.mark.parametrize("broken", [False, True])
async def test_a_cancelled_batch_accepts_nothing_more(producer: Producer, redis: ArqRedis, broken: bool) -> None:
    """Not even the changes that it had."""
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


async def test_a_batch_cancelled_during_its_fan_out_ends_with_what_it_had(producer: Producer, lanes: Lanes) -> None:
    """Its producer gets an error."""

    async def interrupted() -> Any:
        for number, user in enumerate(users(20 * CHUNK_SIZE)):
            if number == 10 * CHUNK_SIZE:
                await producer.batch("b").cancel()
            yield user

    with pytest.raises(BatchConflict, match="cancelled"):
        await to_users(producer, interrupted())
    await producer.batch("b").cancel()

    progress = await producer.batch("b").wait(timeout=30)
    assert progress.outcomes == {Outcome.CANCELLED: progress.total}
    assert await lanes.redis.keys(KEYS.heads + "*") == []


async def test_a_chunk_is_refused_if_an_earlier_chunk_of_its_run_was(redis: ArqRedis) -> None:
    """A run that lost the race for one chunk adds no later one."""
    options = SubmitOptions(1000, batch_id="b", content="changes")

    async def add(number: int, user: str, *, chunk: ChunkDigest, after: ChunkDigest = NO_DIGEST) -> list[int]:
        one = Submission.from_change(change(user), f"b..{number}", options, now_ms=1_000, ttl_ms=60_000)
        call = submit([one], options, chunk=chunk, previous=after)
        return list((await call.script.run(redis, KEYS, call.args))[1:])

    ours, theirs = ChunkDigest("c0", "ours"), ChunkDigest("c0", "theirs")
    assert await add(0, "1", chunk=ours) == [1]
    assert await add(0, "2", chunk=theirs) == [-2]
    assert await add(1, "2", chunk=ChunkDigest("c1", "theirs, two"), after=theirs) == [-2]

    assert await add(1, "1", chunk=ChunkDigest("c1", "ours, two"), after=ours) == [2]


async def test_of_two_producers_with_different_changes_for_one_batch_exactly_one_fails(valkey: ArqRedis) -> None:
    """Several chunks each; no change of the loser is queued."""
    changes = {name: [change(f"{name}{number}") for number in range(1500)] for name in "ab"}
    runs = [Producer(valkey).fan_out(changes[name], batch_id="b") for name in changes]

    ended = await asyncio.gather(*runs, return_exceptions=True)

    assert sorted(isinstance(end, BatchConflict) for end in ended) == [False, True]
    users = {user.decode()[0] for user in await valkey.zrange(KEYS.bulk_schedule, 0, -1)}
    assert len(users) == 1
