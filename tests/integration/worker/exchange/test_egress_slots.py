"""Slots of an egress for the requests for the exchange's time, of workers that start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from fakeredis.aioredis import FakeAsyncRedisConnection
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from producers.contract.shards import shard_keyspaces
from producers.transport.clients import keyspace_of
from producers.transport.shards import Shards
from tests.support.manual_clock import ManualClock
from worker.exchange.egress_slot import MAX_WAIT_S, EgressSlots, SlotState
from worker.queue.egress_share import WholeEgress
from worker.queue.egress_shares import EgressShares
from worker.queue.rate import Pacing
from worker.queue.shares import epoch_us
from worker.settings import WorkerSettings

SHARDS = 5
SETTINGS = WorkerSettings(egress_rate_per_s=2)


def pacing_of(shards: int, egress_rate_per_s: float = 2) -> Pacing:
    """What workers pace by."""
    return Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=egress_rate_per_s, margin_percent=0, shards=shards)


def single(redis: ArqRedis, clock: ManualClock, pacing: Pacing) -> EgressSlots:
    """The slots of an egress in a queue without shards."""
    return EgressSlots([(redis, WholeEgress(pacing))], clock=clock, egress=SETTINGS.egress, pacing=pacing)


@pytest.fixture
async def shards(fake_redis: ArqRedis) -> AsyncIterator[Shards[Any]]:
    """A queue with five shards on fakeredis."""
    clients, server = [], fake_redis.connection_pool.connection_kwargs["server"]
    for keys in shard_keyspaces("q", SHARDS):
        pool: Any = ConnectionPool(connection_class=FakeAsyncRedisConnection, server=server)
        pool.keyspace = keys
        clients.append(ArqRedis(connection_pool=pool))
    yield Shards(fake_redis, tuple(clients))
    for client in clients:
        await client.aclose()


async def start(shards: Shards[Any], clock: ManualClock) -> tuple[SlotState, float]:
    """Start a worker. Return what became of its question for a slot, and the seconds that it took."""
    pacing = pacing_of(SHARDS)
    shares = EgressShares(shards, clock, SETTINGS, pacing)
    parts = [(client, shares.of(number)) for number, client in enumerate(shards.clients)]
    await shares.ask()
    asked_s = clock.uptime()
    state = await EgressSlots(parts, clock=clock, egress=SETTINGS.egress, pacing=pacing).wait()
    return state, clock.uptime() - asked_s


async def test_workers_that_restart_all_the_time_on_an_idle_egress_are_not_delayed(
    shards: Shards[Any], clock: ManualClock
) -> None:
    """The shards take turns. Each slot is in the bucket of a shard, beside those of changes, and none in the home's."""
    for _ in range(3):
        await EgressShares(shards, clock, SETTINGS, pacing_of(SHARDS)).ask()
        clock.advance(epoch_us(pacing_of(SHARDS), SHARDS) / 1e6)
    found = []
    for _ in range(20):
        found.append(await start(shards, clock))
        clock.advance(4)
    taken = [
        int(await client.hget(keyspace_of(client).egress + SETTINGS.egress, "taken") or 0) for client in shards.clients
    ]

    assert found == [(SlotState.TAKEN, 0.0)] * 20
    assert sum(taken) == 20
    assert await shards.home.exists(KEYS.egress + SETTINGS.egress) == 0


async def test_an_egress_that_is_new_has_a_slot_for_each_shard_at_once(shards: Shards[Any], clock: ManualClock) -> None:
    """Nobody knows its shares yet. Further workers wait for a while, and start without the exchange's time."""
    found = [await start(shards, clock) for _ in range(SHARDS + 1)]

    assert found[:SHARDS] == [(SlotState.TAKEN, 0.0)] * SHARDS
    assert found[SHARDS][0] == SlotState.LATER
    assert found[SHARDS][1] <= MAX_WAIT_S


async def test_a_shard_that_is_away_delays_no_start(
    shards: Shards[Any], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot is of another one. If none answers, the worker waits as for any Redis."""

    async def away(*_: object, **__: object) -> None:
        raise RedisConnectionError

    for client in shards.clients[:-1]:
        monkeypatch.setattr(client, "execute_command", away)
    found = await start(shards, clock)
    monkeypatch.setattr(shards.clients[-1], "execute_command", away)

    assert found == (SlotState.TAKEN, 0.0)
    with pytest.raises(RedisConnectionError):
        await start(shards, clock)


async def test_a_slot_that_is_far_ahead_is_not_taken(fake_redis: ArqRedis, clock: ManualClock) -> None:
    """The worker starts without the exchange's time, and the egress keeps its rate."""
    slots = single(fake_redis, clock, pacing_of(1, egress_rate_per_s=0.1))
    states = [await slots.wait() for _ in range(3)]
    clock.advance(10.1)

    assert states == [SlotState.TAKEN, SlotState.LATER, SlotState.LATER]
    assert await slots.wait() == SlotState.TAKEN


async def test_no_slot_is_taken_while_the_breaker_is_open(fake_redis: ArqRedis, clock: ManualClock) -> None:
    """Only probes may be sent."""
    await fake_redis.hset(KEYS.egress + SETTINGS.egress, mapping={"openings": 1})  # type: ignore[misc]

    assert await single(fake_redis, clock, pacing_of(1)).wait() == SlotState.BLOCKED
    assert await fake_redis.hget(KEYS.egress + SETTINGS.egress, "taken") is None  # type: ignore[misc]
