"""Fan-outs: each item once, from any iterable; invalid items are reported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ops.keys import KEYS
from producers import FanOutReport, InvalidChange, Outcome, Priority, Producer, SettingsChange
from producers.contract import keyspace
from producers.queue.chunks import CHUNK_SIZE
from producers.transport.pipeline import MAX_IN_FLIGHT
from tests.support.changes import TRADER, change, numbered, setting
from tests.support.fan_outs import account, failing_after, flowing, to_users, users, where_consistent
from tests.support.lanes import Lanes
from worker.attempt.decide import ReadyAttempt, validate_claim

INVALID = SettingsChange(user_id="9", trader_id="t1", settings=[])


async def test_a_template_gives_each_user_a_change_whose_id_follows_from_the_user(
    producer: Producer, lanes: Lanes
) -> None:
    """A deterministic ID, so that a rerun adds no change twice."""
    batch = await to_users(producer, users(3))

    assert account(batch.report) == (3, 3, 0, 0)
    for user in users(3):
        assert await lanes.queued(keyspace.lane(user, TRADER)) == [f"b..{user}"]
    assert await lanes.redis.keys(KEYS.job + "*") == [], "the batch has what they share"
    assert await lanes.uncovered() == set()
    progress = await where_consistent(batch)
    assert (progress.total, progress.queued, progress.sealed, progress.complete) == (3, 3, True, False)
    for claim in await lanes.claim():
        ready = validate_claim(claim, claim.redis_ms(0))
        assert isinstance(ready, ReadyAttempt)
        sent = ready.request.change
        assert (f"b..{sent.user_id}", sent.trader_id) == (claim.job_id, TRADER)
        assert sent.settings == [setting(trace_value="1")]


async def test_a_fan_out_of_changes_keeps_their_order_and_numbers_them(producer: Producer, lanes: Lanes) -> None:
    """Numbers run over the whole batch, not per lane."""
    batch = await producer.fan_out([*numbered(3), change("1002")], batch_id="b")

    assert account(batch.report) == (4, 4, 0, 0)
    assert await lanes.queued(keyspace.lane("1001", TRADER)) == ["b..0", "b..1", "b..2"]
    assert await lanes.queued(keyspace.lane("1002", TRADER)) == ["b..3"]


@pytest.mark.parametrize("kind", ["list", "generator", "async", "set"])
async def test_a_fan_out_takes_any_iterable(producer: Producer, kind: str) -> None:
    """Also one that can be read only once, is asynchronous, or has no order."""
    given: dict[str, Any] = {
        "list": users(5),
        "generator": (user for user in users(5)),
        "async": flowing(users(5)),
        "set": set(users(5)),
    }

    assert account((await to_users(producer, given[kind])).report) == (5, 5, 0, 0)


@pytest.mark.parametrize("count", [CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_change_is_lost_or_doubled_at_the_edge_of_a_chunk(
    producer: Producer, lanes: Lanes, count: int, asynchronous: bool
) -> None:
    """One less than a chunk, a full one, one more, and two full chunks."""
    changes = numbered(count)

    batch = await producer.fan_out(flowing(changes) if asynchronous else changes, batch_id="b")

    assert account(batch.report) == (count, count, 0, 0)
    assert await lanes.queued(keyspace.lane("1001", TRADER)) == [f"b..{number}" for number in range(count)]
    assert (await where_consistent(batch)).total == count


async def test_invalid_items_are_reported_by_index_and_do_not_stop_the_others(producer: Producer) -> None:
    """Also at the edges of chunks, and a whole chunk of them."""
    bad = {0, CHUNK_SIZE - 1, CHUNK_SIZE, *range(2 * CHUNK_SIZE, 3 * CHUNK_SIZE), 3 * CHUNK_SIZE}
    items = [INVALID if place in bad else change(str(place)) for place in range(3 * CHUNK_SIZE + 2)]

    batch = await producer.fan_out(items, batch_id="b")

    assert account(batch.report) == (len(items), len(items) - len(bad), 0, len(bad))
    assert batch.report is not None
    assert [refusal.index for refusal in batch.report.refused] == sorted(bad)
    assert {(type(refusal.error), refusal.user_id) for refusal in batch.report.refused} == {(InvalidChange, "9")}
    assert (await where_consistent(batch)).total == len(items) - len(bad)


async def test_a_user_who_is_given_twice_gets_one_change(producer: Producer, lanes: Lanes) -> None:
    """Within a chunk, and over chunks."""
    batch = await to_users(producer, ["7", "8", "7", *users(2 * CHUNK_SIZE), "8"])

    assert account(batch.report) == (2 * CHUNK_SIZE + 4, 2 * CHUNK_SIZE, 4, 0)
    assert await lanes.queued(keyspace.lane("7", TRADER)) == ["b..7"]
    assert (await where_consistent(batch)).total == 2 * CHUNK_SIZE


@pytest.mark.parametrize("user", ["/", "x//y", "%", "a:b", "~", "u" * 128])
async def test_a_user_with_any_id_gets_a_change_that_ends_in_its_batch(
    producer: Producer, lanes: Lanes, user: str
) -> None:
    """With separators in its ID, or of the greatest length, in a batch with the longest ID."""
    batch = await to_users(producer, [user], "b" * 64)

    claim = await lanes.claim_one()
    await lanes.done(claim)

    assert claim.lane == keyspace.lane(user, TRADER)
    assert (await where_consistent(batch)).outcomes == {Outcome.APPLIED: 1}


@pytest.mark.parametrize("given", [[], [INVALID]], ids=["empty", "all refused"])
async def test_an_empty_batch_is_complete_at_once(producer: Producer, given: list[Any]) -> None:
    """And expires."""
    batch = await producer.fan_out(given, batch_id="b")

    progress = await batch.wait(timeout=30)
    assert (progress.total, progress.complete, progress.eta_s) == (0, True, 0)
    assert [result async for result in batch.results()] == []
    assert await producer._redis.pttl(KEYS.batch + "b") > 0
    assert not (await producer.enqueue(change())).already_there, "the queue may begin with it"


async def test_a_fan_out_has_the_deadline_and_the_priority_that_it_was_given(producer: Producer, lanes: Lanes) -> None:
    """Bulk by default."""
    await to_users(producer, ["1"], "slow")
    batch = await to_users(producer, ["2"], "fast", priority=Priority.INTERACTIVE, ttl_s=1.5)

    assert await lanes.on_bulk(keyspace.lane("1", TRADER))
    assert not await lanes.on_bulk(keyspace.lane("2", TRADER))
    assert (await batch.progress()).priority is Priority.INTERACTIVE
    (fast,) = await lanes.claim(1)
    assert (fast.job_id, fast.stored.ttl_ms) == ("fast..2", 1500)


async def test_batches_without_an_id_get_one_each(producer: Producer) -> None:
    """Generated IDs sort by time."""
    names = [(await to_users(producer, ["1"], None)).batch_id for _ in range(3)]

    assert names == sorted(set(names))


async def test_on_chunk_gets_the_report_so_far_after_each_chunk(producer: Producer) -> None:
    """For a progress bar; the last report equals the batch's own."""
    reports: list[FanOutReport] = []

    batch = await to_users(producer, [*users(2 * CHUNK_SIZE), "a b", "last"], on_chunk=reports.append)

    assert [report.given - report.accepted <= 4 * CHUNK_SIZE for report in reports] == [True] * 3
    assert [report.accepted for report in reports] == [CHUNK_SIZE, 2 * CHUNK_SIZE, 2 * CHUNK_SIZE + 1]
    assert reports[-1] == batch.report


async def test_a_fan_out_reads_its_iterable_only_as_fast_as_it_sends(producer: Producer) -> None:
    """An iterable of any length is never held in memory."""
    asked = 0
    ahead: list[int] = []

    async def endless() -> AsyncIterator[str]:
        nonlocal asked
        for number in range(20 * CHUNK_SIZE):
            asked += 1
            yield str(number)

    await to_users(producer, endless(), on_chunk=lambda report: ahead.append(asked - report.accepted))

    assert len(ahead) == 20
    assert max(ahead) <= MAX_IN_FLIGHT * CHUNK_SIZE


async def test_an_iterable_that_fails_raises_its_own_error_and_leaves_the_batch_unsealed(
    producer: Producer, lanes: Lanes
) -> None:
    """Whole chunks of it are in their lanes; the connection has no replies left on it."""
    with pytest.raises(LookupError, match="the source broke"):
        await to_users(producer, failing_after(users(10 * CHUNK_SIZE), CHUNK_SIZE + 7))

    progress = await where_consistent(producer.batch("b"))
    assert (progress.total, progress.sealed, progress.complete) == (CHUNK_SIZE, False, False)
    assert (await producer.enqueue(change("other"), job_id="after")).job_id == "after"
    assert await lanes.uncovered() == set()
