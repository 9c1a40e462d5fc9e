"""What a fan-out rejects, and when it writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import (
    BatchNotFound,
    BatchRefused,
    InvalidArgument,
    InvalidId,
    LaneFull,
    Preview,
    Producer,
    ProducerSettings,
    SettingsChange,
)
from producers.contract import keyspace
from producers.queue.chunks import CHUNK_SIZE
from tests.support.changes import TRADER, change, setting
from tests.support.contents import contents
from tests.support.fan_outs import account, end_all, flowing, to_users, users, where_consistent
from tests.support.lanes import Lanes

INVALID = SettingsChange(user_id="9", trader_id="t1", settings=[])

MANY = CHUNK_SIZE + 1


async def test_full_lanes_are_reported_and_the_others_accept_their_changes(redis: ArqRedis) -> None:
    """With index and user; the batch counts only what was accepted."""
    producer, lanes = Producer(redis, ProducerSettings(lane_limit=1)), Lanes(redis)
    await producer.enqueue(change("2"), job_id="before")

    batch = await to_users(producer, users(3))

    assert account(batch.report) == (3, 2, 0, 1)
    assert batch.report is not None
    (refusal,) = batch.report.refused
    assert (refusal.index, refusal.user_id, type(refusal.error)) == (1, "2", LaneFull)
    assert await lanes.queued(keyspace.lane("2", TRADER)) == ["before"]
    assert (await where_consistent(batch)).total == 2


async def test_a_batch_whose_lanes_were_all_full_exists_and_is_empty(redis: ArqRedis) -> None:
    """A rerun can add to it, and it expires like any complete batch."""
    producer, lanes = Producer(redis, ProducerSettings(lane_limit=1)), Lanes(redis)
    await producer.enqueue(change("1"))

    batch = await to_users(producer, ["1"])

    assert (await where_consistent(batch)).total == 0
    await end_all(lanes)
    assert (await where_consistent(batch)).total == 0
    assert await redis.pttl(KEYS.batch + "b") > 0


async def test_all_or_nothing_writes_nothing_if_one_item_is_invalid(producer: Producer, redis: ArqRedis) -> None:
    """The error names every invalid item."""
    items = flowing([*users(MANY), "a b", None])

    with pytest.raises(
        BatchRefused, match=r"^2 of the items cannot be accepted, the first \(index 251\): userId"
    ) as info:
        await to_users(producer, items, all_or_nothing=True)

    assert [(refusal.index, refusal.user_id) for refusal in info.value.refused] == [
        (CHUNK_SIZE + 1, "a b"),
        (CHUNK_SIZE + 2, None),
    ]
    assert await redis.dbsize() == 0


async def test_all_or_nothing_writes_nothing_if_one_lane_is_full(redis: ArqRedis) -> None:
    """Changes of the same call count, and every refused one is named."""
    producer = Producer(redis, ProducerSettings(lane_limit=2))
    await producer.enqueue(change("2"))
    before = await contents(redis)

    with pytest.raises(BatchRefused) as caught:
        await producer.fan_out([change(user) for user in "12223"], all_or_nothing=True)

    assert [(refusal.index, refusal.user_id) for refusal in caught.value.refused] == [(2, "2"), (3, "2")]
    assert {type(refusal.error) for refusal in caught.value.refused} == {LaneFull}
    assert await contents(redis) == before


@pytest.mark.parametrize(
    ("argument", "error"), [({"batch_id": "a/b"}, InvalidId), ({"ttl_s": 0}, InvalidArgument)], ids=str
)
async def test_a_dry_run_checks_all_arguments(
    producer: Producer, argument: dict[str, Any], error: type[Exception]
) -> None:
    """What it accepts is accepted without it."""
    with pytest.raises(error):
        await producer.fan_out([change()], dry_run=True, **argument)


async def test_all_or_nothing_submits_all_if_all_are_valid(producer: Producer) -> None:
    """Over more than one chunk."""
    assert account((await to_users(producer, users(MANY), all_or_nothing=True)).report) == (
        CHUNK_SIZE + 1,
        CHUNK_SIZE + 1,
        0,
        0,
    )


async def test_a_dry_run_shows_what_would_be_sent_and_writes_nothing(producer: Producer, redis: ArqRedis) -> None:
    """For a template over an async iterable and for given changes; invalid items are reported by index."""
    template = await producer.fan_out(
        trader_id=TRADER, settings=[setting()], user_ids=flowing(["1", "a b", "2"]), dry_run=True
    )
    own = await producer.fan_out([change("3"), INVALID], dry_run=True)

    assert isinstance(template, Preview)
    assert isinstance(own, Preview)
    assert [each.user_id for each in template.changes] == ["1", "2"]
    assert [each.user_id for each in own.changes] == ["3"]
    assert [refusal.index for refusal in (*template.refused, *own.refused)] == [1, 1]
    assert await redis.dbsize() == 0


@pytest.mark.parametrize("batch_id", ["", "a/b", "a b", "x" * 65, "ü"])
async def test_a_malformed_batch_id_is_rejected_before_anything_is_written(
    producer: Producer, redis: ArqRedis, batch_id: str
) -> None:
    """By the fan-out and by the handle; slashes separate batch and item in job IDs."""
    with pytest.raises(InvalidId, match=r"^batch_id: "):
        await to_users(producer, users(1), batch_id)
    with pytest.raises(InvalidId, match=r"^batch_id: "):
        producer.batch(batch_id)

    assert await redis.dbsize() == 0


@pytest.mark.parametrize("changed", [{"ttl_s": 0}, {"ttl_s": float("nan")}, {"priority": "urgent"}])
async def test_invalid_options_are_rejected_before_the_iterable_is_read(
    producer: Producer, redis: ArqRedis, changed: dict[str, Any]
) -> None:
    """An iterable that can be read only once is not used up by a wrong option."""

    def untouched() -> Iterator[str]:
        raise AssertionError("the items were asked for")
        yield ""

    with pytest.raises((InvalidArgument, ValueError)):
        await to_users(producer, untouched(), **changed)

    assert await redis.dbsize() == 0


async def test_an_unknown_batch_is_not_found(producer: Producer, redis: ArqRedis) -> None:
    """Reading it writes nothing."""
    batch = producer.batch("nowhere")

    for asked in (
        batch.progress,
        batch.page,
        batch.cancel,
        lambda: batch.wait(timeout=5),
        lambda: anext(batch.results()),
    ):
        with pytest.raises(BatchNotFound, match="no batch nowhere"):
            await asked()

    assert await contents(redis) == {}
