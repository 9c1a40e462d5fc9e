"""Pauses, pins, users and overviews of a queue with shards."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from producers import InvalidId, Producer, ProducerSettings
from producers.contract.access_keys import Scope
from producers.monitor import doctor
from producers.monitor.checks import CheckStatus
from producers.transport.clients import keyspace_of
from producers.transport.shards import Shards
from tests.support.changes import change
from tests.support.sharded import SHARDS, ShardedLanes
from worker.credentials.sealed_records import SealedRecords

USERS = [str(1000 + number) for number in range(12)]


async def enqueue_for_all(producer: Producer) -> None:
    """Enqueue a change for each user."""
    await producer.enqueue_many([change(user) for user in USERS])


@pytest.mark.parametrize("scope", [{"everything": True}, {"trader_id": "t1"}, {"egress": "default"}])
async def test_a_pause_reaches_over_all_shards(
    producer: Producer, lanes: ShardedLanes, scope: dict[str, str | bool]
) -> None:
    """It is one pause to who lists them, and ends everywhere."""
    await enqueue_for_all(producer)
    assert await producer.pause(**scope)  # type: ignore[arg-type]
    assert not await producer.pause(**scope)  # type: ignore[arg-type]
    claimed, pauses, overview = await lanes.claim(), await producer.paused(), await producer.overview()
    resumed = await producer.resume(**scope)  # type: ignore[arg-type]

    assert claimed == []
    assert len(pauses) == overview.pauses_total == len(overview.pauses) == 1
    assert resumed
    assert await producer.paused() == []
    assert len(await lanes.drain()) == len(USERS)


async def test_the_pause_of_a_user_is_in_its_shard(producer: Producer, lanes: ShardedLanes) -> None:
    """Others are sent."""
    await enqueue_for_all(producer)
    await producer.pause(user_id=USERS[0])
    status = await producer.user_status(USERS[0])

    assert status.paused
    assert len(await lanes.drain()) == len(USERS) - 1
    assert await producer.resume(user_id=USERS[0])
    assert len(await lanes.drain()) == 1


async def test_the_parked_lanes_of_a_trader_are_those_of_all_shards(producer: Producer, lanes: ShardedLanes) -> None:
    """They are parked where workers come upon them."""
    await enqueue_for_all(producer)
    await producer.pause(trader_id="t1")
    await lanes.claim()
    status = await producer.trader_status("t1")

    assert status.parked_lanes == len(USERS)
    assert status.paused_since_ms is not None


async def test_users_are_pinned_limited_and_cancelled_in_their_shards(producer: Producer, lanes: ShardedLanes) -> None:
    """Pins are listed page by page through all shards."""
    await enqueue_for_all(producer)
    assert await producer.pin_users(dict.fromkeys(USERS, "far")) == len(USERS)
    await producer.limit_user(USERS[1], 3)
    with pytest.raises(InvalidId):
        await producer.pin_users({USERS[0]: None, USERS[1]: "no egress"})
    with pytest.raises(InvalidId):
        await producer.cancel_user("no user")

    assert {pin.user_id async for pin in producer.pins()} == set(USERS)
    assert (await producer.user_status(USERS[1])).rate_per_s == 3
    assert (await producer.cancel_user(USERS[2])).cancelled == 1
    assert await producer.pin_users(dict.fromkeys(USERS)) == len(USERS)
    assert [pin async for pin in producer.pins()] == []
    assert len(await lanes.drain()) == len(USERS) - 1


async def test_a_user_is_forgotten_in_its_shard_and_at_home(
    producer: Producer, lanes: ShardedLanes, clients: Shards[Redis]
) -> None:
    """The home has its API keys."""
    await enqueue_for_all(producer)
    await SealedRecords(clients.home).put([(USERS[0], b"sealed")])
    await producer.limit_user(USERS[0], 3)
    (claim,) = [claim for claim in await lanes.claim() if claim.lane.startswith(USERS[0])]
    first = await producer.forget_user(USERS[0])
    await lanes.done(claim, user_id=USERS[0])
    second = await producer.forget_user(USERS[0])

    assert (first.complete, first.in_flight, first.settings) == (False, 1, [])
    assert (second.complete, second.results, second.settings) == (True, 1, ["rate", "credentials"])
    assert await SealedRecords(clients.home).get(USERS[0]) is None


async def test_the_overview_is_that_of_all_shards(producer: Producer, lanes: ShardedLanes) -> None:
    """Counts are added up, and the next lanes are the next of all."""
    await enqueue_for_all(producer)
    before = await producer.overview()
    claims = await lanes.claim()
    during = await producer.overview()
    for claim in claims:
        await lanes.done(claim)
    after = await producer.overview()

    assert (before.interactive.users, len(before.next_lanes), during.in_flight) == (len(USERS),) * 3
    assert after.outcomes["applied"] == len(USERS)
    assert [egress.name for egress in after.egresses] == ["default"]


async def test_the_doctor_looks_at_every_shard(producer: Producer, clients: Shards[Redis]) -> None:
    """And at their number."""
    await enqueue_for_all(producer)
    found = {check.name: check for check in await doctor.checks(clients, ProducerSettings())}
    alone = {check.name: check for check in await doctor.checks(clients.home, ProducerSettings())}
    await clients.home.delete(keyspace_of(clients.home).layout)
    await clients.clients[1].set(keyspace_of(clients.clients[1]).shards, "3")
    other = {check.name: check for check in await doctor.checks(clients, ProducerSettings())}

    assert (found["layout"].status, found["layout"].detail) == (CheckStatus.OK, f"2, over {SHARDS} shards")
    assert "12 users are due" in found["workers"].detail
    assert alone["layout"].status is CheckStatus.FAIL
    assert other["layout"].status is CheckStatus.FAIL
    assert "COPYTRADE_SHARDS=3" in other["layout"].hint
    assert f"COPYTRADE_SHARDS={SHARDS}" in alone["layout"].hint


async def test_the_access_keys_of_the_gateway_are_at_home_from_the_start(
    producer: Producer, clients: Shards[Redis]
) -> None:
    """Before a shard was used, too."""
    made = await producer.access_keys.add("a test's", [Scope.READ])

    assert [key.key_id for key in await producer.access_keys.list()] == [made.key_id]
    assert await clients.home.exists(keyspace_of(clients.home).gateway_keys)
    await enqueue_for_all(producer)
