"""Pages of a batch's results: bounded, without waiting, and resumed by a cursor of that batch only."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import BatchNotFound, InvalidCursor, JobState, Outcome, Producer
from producers.queue.results import MAX_PAGE_SIZE
from tests.support.changes import TRADER, change, setting
from tests.support.fan_outs import end_all, end_some, half_ended, to_users, users
from tests.support.lanes import Lanes


@pytest.mark.parametrize("limit", [1, 3, 19, 20, 21])
async def test_pages_resume_where_the_last_one_ended(producer: Producer, lanes: Lanes, limit: int) -> None:
    """20 results in pages of 1 to 21, in the order in which the changes ended."""
    batch, ended = await half_ended(producer, lanes)
    ended += await end_all(lanes)
    read, cursor = [], None
    for _ in range(100):
        page = await batch.page(cursor, limit)
        assert len(page.results) == len(page.positions) <= limit
        read += [result.job_id for result in page.results]
        cursor = page.cursor
        if page.complete:
            break

    assert read == ended
    assert (await batch.page(cursor, limit)).results == []


async def test_a_page_does_not_wait(producer: Producer, lanes: Lanes) -> None:
    """An empty page has a cursor from which the next page continues."""
    batch = await to_users(producer, users(2))

    empty = await batch.page()
    await lanes.done((await lanes.claim())[0])
    page = await batch.page(empty.cursor)

    assert (empty.results, empty.complete, page.complete) == ([], False, False)
    assert len(page.results) == 1


async def test_a_page_can_be_of_some_outcomes_only(producer: Producer, lanes: Lanes) -> None:
    """The others are looked at, so that pages stay bounded: the next page starts after them."""
    batch = await to_users(producer, users(6))
    await end_some(lanes, [(outcome, {}) for outcome in (Outcome.APPLIED, Outcome.REJECTED) for _ in range(3)])

    first = await batch.page(limit=4, outcomes=[Outcome.REJECTED])
    second = await batch.page(first.cursor, 4, outcomes=[Outcome.REJECTED])

    assert [[result.outcome for result in page.results] for page in (first, second)] == [
        [Outcome.REJECTED],
        [Outcome.REJECTED] * 2,
    ]
    assert [len(page.positions) for page in (first, second)] == [1, 2]


async def test_the_change_of_a_user_is_known_in_a_batch_of_a_template_only(producer: Producer) -> None:
    """The job IDs of other batches are numbered."""
    batch, own = await to_users(producer, ["1", "a/b"]), await producer.fan_out([change("1")], batch_id="own")

    ids = [await batch.job_id_of(user) or "" for user in ("1", "a/b")]
    assert [(await producer.job(job_id).status()).state for job_id in ids] == [JobState.QUEUED] * 2
    assert await own.job_id_of("1") is None
    with pytest.raises(BatchNotFound):
        await producer.batch("none").job_id_of("1")


async def test_batches_are_listed_after_the_newest_ones(producer: Producer) -> None:
    """For pages of them."""
    for number in range(4):
        await to_users(producer, users(1), f"b{number}")

    everything = [progress.batch_id for progress in await producer.batches()]
    pages = [[progress.batch_id for progress in await producer.batches(2, skip=skip)] for skip in (0, 2, 4)]
    assert pages == [everything[:2], everything[2:], []]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "0-0",
        "b",
        "b/",
        "b/0",
        "b/x-0",
        "b/1-1\n",
        "b/+",
        "b/$",
        "1" * 10**6,
        "b/-1-0",
        "other/0-0",
        "b/0-0/0-0",
        "b/99999999999999999999-0",
        "b/18446744073709551615-18446744073709551615",
        7,
        b"b/0-0",
    ],
)
async def test_a_cursor_that_is_not_of_this_batch_is_rejected(producer: Producer, cursor: str) -> None:
    """A mistake must not read from the beginning."""
    await to_users(producer, users(1))
    batch = producer.batch("b")

    with pytest.raises(InvalidCursor, match=r"^after: must be a cursor of batch b, such as 'b/0-0'; got "):
        batch.results(after=cursor)
    with pytest.raises(InvalidCursor):
        await batch.page(cursor)


async def test_reading_after_the_last_page_of_a_complete_batch_returns_nothing(
    producer: Producer, lanes: Lanes
) -> None:
    """The page and the stream end at once, and the cursor stays the same."""
    batch = await producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"], batch_id="b")
    for claim in await lanes.claim():
        await lanes.done(claim)
    page = await batch.page()

    again = await batch.page(page.cursor)

    assert (page.complete, again.complete, again.results, again.cursor) == (True, True, [], page.cursor)
    async with asyncio.timeout(30):
        assert [result async for result in batch.results(after=page.cursor)] == []


async def test_a_page_is_bounded_whatever_limit_is_asked_for(redis: ArqRedis, producer: Producer) -> None:
    """At most MAX_PAGE_SIZE results; a limit of zero or less gives none."""
    batch = await producer.fan_out([change()], batch_id="b")
    for limit in (-1, 0, 10**19):
        assert (await batch.page(limit=limit)).results == []
        assert len(await producer.batches(limit)) == (1 if limit > 0 else 0)

    await redis.xadd(KEYS.batch_results + "b", {"job": "b..x", "outcome": "applied"}, id="1-1")
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(2, MAX_PAGE_SIZE + 10):
            pipe.xadd(KEYS.batch_results + "b", {"job": f"b..{number}", "outcome": "applied"}, id=f"1-{number}")
        await pipe.execute()
    page = await batch.page(limit=10**19)
    assert len(page.results) == MAX_PAGE_SIZE
    assert len((await batch.page(page.cursor, limit=10**19)).results) == 9
