"""Somebody wrote nonsense over a batch's keys, or over what steers the queue: changes end all the same, once."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

import pytest
from redis.exceptions import ResponseError

from producers import Outcome, Producer, ProducerError
from producers.contract import keyspace
from producers.queue.finish import DEAD_OUTCOMES
from tests.support.changes import TRADER, change
from tests.support.fan_outs import to_users, users
from tests.support.lanes import Lanes

BATCH_KEYS = (
    keyspace.BATCH + "b",
    keyspace.BATCH_RESULTS + "b",
    keyspace.BATCH_MEMBERS + "b",
    keyspace.COUNTS,
    keyspace.DEAD_LETTERS + Outcome.REJECTED,
)


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.REJECTED])
@pytest.mark.parametrize("when", ["queued", "in flight"])
@pytest.mark.parametrize("name", BATCH_KEYS)
async def test_no_key_of_a_wrong_type_keeps_a_change_from_ending_once(
    producer: Producer, lanes: Lanes, name: str, when: str, outcome: Outcome
) -> None:
    """Whenever it happens: with the outcome that it has, and its lane goes on."""
    await to_users(producer, ["1001"])
    await producer.enqueue(change(), job_id="behind")
    claim = await lanes.claim_one() if when == "in flight" else None
    await lanes.redis.set(name, "nonsense")
    claim = claim or await lanes.claim_one()
    brief = dataclasses.replace(claim, lease_until_s=lanes.clock.monotonic() + 0.2)  # so that a failure shows at once

    settled = await lanes.done(brief, outcome)

    assert (settled.fenced, settled.finished) == (False, 1)
    assert (await producer.job("b//1001").result(timeout=0)).outcome is outcome
    assert await lanes.uncovered() == set()
    assert (await lanes.claim_one()).job_id == "behind"


@pytest.mark.parametrize("name", BATCH_KEYS)
async def test_no_key_of_a_wrong_type_keeps_a_change_from_being_taken_back(
    producer: Producer, lanes: Lanes, name: str
) -> None:
    """It leaves its lane with its result, or stays with neither."""
    await to_users(producer, ["1001"])
    await lanes.redis.set(name, "nonsense")
    job = producer.job("b//1001")

    try:
        await job.cancel()
    except ProducerError:
        assert not await lanes.redis.exists(keyspace.RESULT + "b//1001")
        assert await lanes.queued(keyspace.lane("1001", TRADER)) == ["b//1001"]
    else:
        assert (await job.result(timeout=0)).outcome is Outcome.CANCELLED
        assert await lanes.queued(keyspace.lane("1001", TRADER)) == []
    assert await lanes.uncovered() == set()


@pytest.mark.parametrize("name", [keyspace.BATCH + "b", keyspace.BATCH_MEMBERS + "b", keyspace.BATCHES])
async def test_a_fan_out_over_nonsense_fails_with_an_error_of_ours_and_leaves_lanes_covered(
    producer: Producer, lanes: Lanes, name: str
) -> None:
    """Whatever of it was written by then."""
    await lanes.redis.set(name, "nonsense")

    with pytest.raises(ProducerError):
        await to_users(producer, users(3))

    assert await lanes.uncovered() == set()


@pytest.mark.parametrize("name", [keyspace.PAUSED, keyspace.RATES])
async def test_steering_keys_of_a_wrong_type_do_not_lose_a_lane(producer: Producer, lanes: Lanes, name: str) -> None:
    """What is claimed by then, or not, is covered; mended, it goes on."""
    await producer.enqueue(change(), job_id="j1")
    await lanes.redis.set(name, "nonsense")
    with suppress(ResponseError):
        await lanes.claims()
    assert await lanes.uncovered() == set()

    await lanes.redis.delete(name)
    await lanes.due_now(keyspace.lane("1001", TRADER))

    assert (await lanes.claim_one()).job_id == "j1"


async def test_a_letter_index_of_a_wrong_type_is_told(producer: Producer, lanes: Lanes) -> None:
    """As an error of ours, not as no letters."""
    await lanes.redis.set(keyspace.DEAD_LETTERS + DEAD_OUTCOMES[0], "nonsense")

    with pytest.raises(ProducerError):
        [letter async for letter in producer.dead.list()]
