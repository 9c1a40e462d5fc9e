"""The dead letters of a queue with shards."""

from __future__ import annotations

import pytest

from producers import DeadLetterNotFound, Outcome, Producer
from producers.queue.dead_letter_pages import DeadLetterGrouping
from tests.support.changes import change
from tests.support.sharded import ShardedLanes

USERS = [str(1000 + number) for number in range(24)]


@pytest.fixture
async def ended(producer: Producer, lanes: ShardedLanes) -> list[str]:
    """The IDs of changes that ended badly, in that order."""
    await producer.enqueue_many([change(user) for user in USERS])
    claims = sorted(await lanes.claim(), key=lambda claim: claim.lane)
    for claim in claims:
        await lanes.done(claim, Outcome.REJECTED, user_id=claim.lane.partition(":")[0], code="40009")
    return [claim.job_id for claim in claims]


async def test_dead_letters_are_listed_in_the_order_in_which_they_ended(producer: Producer, ended: list[str]) -> None:
    """To the millisecond; those of one user, too."""
    listed = [letter async for letter in producer.dead.list()]
    own = [letter async for letter in producer.dead.list(user_id=USERS[3])]

    assert sorted(letter.job_id for letter in listed) == sorted(ended)
    assert [letter.ended_at_ms for letter in listed] == sorted(letter.ended_at_ms for letter in listed)
    assert [letter.user_id for letter in own] == [USERS[3]]


@pytest.mark.parametrize("limit", [1, 5, 100])
@pytest.mark.parametrize("filters", [{}, {"trader_id": "t1"}])
async def test_pages_have_the_newest_first_and_each_once(
    producer: Producer, ended: list[str], limit: int, filters: dict[str, str]
) -> None:
    """Whatever their size."""
    found: list[str] = []
    start_us: float | None = None
    while True:
        page = await producer.dead.page(start_us, limit=limit, **filters)  # type: ignore[arg-type]
        found += [letter.job_id for letter in page.letters]
        if page.next_us is None:
            break
        start_us = page.next_us

    assert found == ended[::-1]


async def test_dead_letters_are_counted_and_grouped_over_all_shards(producer: Producer, ended: list[str]) -> None:
    """By cause, and by user."""
    by_cause = await producer.dead.groups(DeadLetterGrouping.CAUSE)
    by_user = await producer.dead.groups(DeadLetterGrouping.USER)

    assert await producer.dead.count() == await producer.dead.count(trader_id="t1") == len(ended)
    assert (await producer.dead.counts())[Outcome.REJECTED] == len(ended)
    assert [(group.count, group.filters["outcome"]) for group in by_cause.groups] == [(len(ended), "rejected")]
    assert (by_cause.looked_at, by_cause.complete) == (len(ended), True)
    assert {group.filters["user_id"]: group.count for group in by_user.groups} == dict.fromkeys(USERS, 1)


async def test_dead_letters_are_replayed_and_dropped_in_every_shard(
    producer: Producer, lanes: ShardedLanes, ended: list[str]
) -> None:
    """One by its ID, and all that are left."""
    one = await producer.dead.replay(ended[0])
    dropped = await producer.dead.drop(user_id=USERS[5])
    others = await producer.dead.replay(everything=True)

    assert [old for old, _ in one.replayed] == ended[:1]
    assert dropped == 1
    assert sorted(old for old, _ in others.replayed) == sorted(set(ended) - {ended[0], ended[5]})
    assert len(await lanes.drain()) == len(ended) - 1
    for call in (producer.dead.get(ended[0]), producer.dead.replay("none"), producer.dead.drop("none")):
        with pytest.raises(DeadLetterNotFound):
            await call
    assert await producer.dead.newest_us() is None
