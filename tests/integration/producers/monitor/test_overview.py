"""The overview: one bounded read of all that people watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Producer
from producers.contract import keyspace
from producers.contract.layout import LAYOUT
from producers.contract.messages import Outcome, Priority
from producers.monitor.overview import MAX_LANES, MAX_PAUSES, MAX_WORKERS
from producers.monitor.worker_info import announce_worker
from producers.transport.runner import run_plan
from tests.integration.producers.monitor.overview_entries import (
    US,
    bucket_held_until,
    in_flight_put,
    lane_put,
    now_us,
    seen,
    session_put,
    worker_info,
)
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock


async def test_the_overview_of_an_empty_redis_counts_every_outcome_as_0(redis: ArqRedis) -> None:
    """Dashboards get every key from the start, and the time of the server."""
    found = await seen(redis)

    assert (found.interactive.users, found.bulk.users, found.bulk.due, found.ended, found.in_flight) == (0, 0, 0, 0, 0)
    assert found.outcomes == dict.fromkeys(Outcome, 0)
    assert (found.workers, found.egresses, found.pauses, found.next_lanes) == ([], [], [], [])
    assert found.at_ms == pytest.approx(await now_us(redis) / 1000, abs=5_000)


async def test_users_are_counted_by_priority_and_by_whether_they_are_due(redis: ArqRedis) -> None:
    """With how long the first due user has waited."""
    now_ms = await now_us(redis) / 1000
    async with redis.pipeline() as pipe:
        lane_put(pipe, "1", now_ms - 3_000)
        lane_put(pipe, "2", now_ms + 60_000)
        lane_put(pipe, "3", now_ms + 60_000, bulk=True)
        await pipe.execute()

    found = await seen(redis)

    assert (found.interactive.users, found.interactive.due) == (2, 1)
    assert (found.bulk.users, found.bulk.due, found.bulk.oldest_due_s) == (1, 0, 0.0)
    assert 3.0 <= found.interactive.oldest_due_s < 60.0


async def test_the_next_lanes_come_by_due_time_over_both_priorities(redis: ArqRedis) -> None:
    """Each with its user, rate, pause, hold and queue length; those in flight are only counted."""
    now = await now_us(redis)
    now_ms = now / 1000
    async with redis.pipeline() as pipe:
        lane_put(pipe, "1", now_ms + 20_000, changes=2)
        lane_put(pipe, keyspace.escape("a:b"), now_ms + 10_000, trader=keyspace.escape("t%"), bulk=True)
        lane_put(pipe, "3", now_ms - 1_000)
        session_put(pipe, now_ms)
        in_flight_put(pipe, "4", "s1")
        pipe.set(KEYS.bucket_of("1"), bucket_held_until(now + 30 * US))
        pipe.hset(KEYS.rates, keyspace.escape("a:b"), "2.5")
        pipe.hset(KEYS.paused, mapping={"user:3": "17", "trader:t%25": "18"})
        await pipe.execute()

    found = await seen(redis)
    first, second, third = found.next_lanes

    assert found.in_flight == 1
    assert (first.user_id, first.priority, first.paused) == ("3", Priority.INTERACTIVE, True)
    assert first.due_in_s < 0
    assert (second.user_id, second.trader_id, second.priority) == ("a:b", "t%", Priority.BULK)
    assert (second.rate_per_s, second.paused, second.queued) == (2.5, True, 1)
    assert (third.user_id, third.queued, third.rate_per_s) == ("1", 2, None)
    assert third.hold_s == pytest.approx(30, abs=5)


async def test_the_overview_has_counts_dead_letters_pauses_rates_and_batches(redis: ArqRedis) -> None:
    """Pauses are ordered by time; unreadable changes are not counted as ended."""
    async with redis.pipeline() as pipe:
        pipe.hset(KEYS.counts, mapping={"applied": 7, "rejected": 2, "unreadable": 3})
        pipe.zadd(KEYS.dead_letters + "rejected", {"1:t j1": 1, "1:t j2": 2})
        pipe.hset(KEYS.paused, mapping={"everything": "20", "user:a%3Ab": "10", "egress:north": "15"})
        pipe.hset(KEYS.rates, mapping={"1": "5", "2": "5"})
        pipe.zadd(KEYS.batches, {"b1": 1})
        pipe.set(KEYS.layout, LAYOUT)
        await pipe.execute()

    found = await seen(redis)

    assert (found.outcomes["applied"], found.outcomes["rejected"], found.outcomes["expired"]) == (7, 2, 0)
    assert (found.ended, found.unreadable, found.overrides, found.batches) == (9, 3, 2, 1)
    assert found.dead == {"rejected": 2, "unauthorized": 0, "exhausted": 0}
    assert found.pauses_total == 3
    assert [(pause.kind, pause.name, pause.since_ms) for pause in found.pauses] == [
        ("user", "a:b", 10),
        ("egress", "north", 15),
        ("everything", "", 20),
    ]


async def test_an_egress_is_shown_with_its_workers_and_its_bucket(redis: ArqRedis) -> None:
    """With two workers at different rates, the higher rate is shown."""
    now = await now_us(redis)
    await session_put(redis, now / 1000, ttl_ms=60_000)
    for name, rate in (("a-1-00", 50.0), ("b-2-00", 100.0)):
        worker = worker_info(name, beat_at_ms=now // 1000, egress="north:1", egress_rate_per_s=rate)
        await run_plan(redis, announce_worker(KEYS, worker), "beating")
    bucket: dict[str, Any] = {"tat": now + 8 * US, "min_rtt": 40_000, "previous_min_rtt": 35_000}
    bucket |= {"openings": "1", "reason": "throttled", "probe_at": now + 60 * US}
    await redis.hset(KEYS.egress + keyspace.escape("north:1"), mapping=bucket)  # type: ignore[misc]
    await redis.hset(KEYS.paused, "egress:" + keyspace.escape("north:1"), "1")  # type: ignore[misc]

    (egress,) = (await seen(redis)).egresses

    assert (egress.name, egress.workers, egress.rate_per_s, egress.paused) == ("north:1", 2, 100.0, True)
    assert egress.backlog_s == pytest.approx(8, abs=5)
    assert egress.hold_s == pytest.approx(60, abs=5)
    assert egress.floor_ms == 35.0


async def test_an_egress_without_workers_is_shown_as_long_as_its_bucket_exists(redis: ArqRedis) -> None:
    """An egress that is only registered, without a bucket, is left out."""
    await redis.sadd(KEYS.egresses, "used", "forgotten")  # type: ignore[misc]
    await redis.hset(KEYS.egress + "used", "tat", "1")  # type: ignore[misc]

    (egress,) = (await seen(redis)).egresses

    assert (egress.name, egress.workers, egress.rate_per_s, egress.backlog_s) == ("used", 0, None, 0.0)


async def test_workers_without_a_heartbeat_for_three_intervals_are_not_shown(
    fake_redis: ArqRedis, clock: ManualClock
) -> None:
    """Still shown after 29 s, gone after 31 s, and their egress with them."""
    await session_put(fake_redis, clock.now_ms, ttl_ms=60_000)
    await run_plan(fake_redis, announce_worker(KEYS, worker_info(beat_at_ms=clock.now_ms)), "beating")
    clock.advance(29)
    assert len((await seen(fake_redis)).workers) == 1
    clock.advance(2)

    found = await seen(fake_redis)

    assert (found.workers, found.egresses) == ([], [])


async def test_workers_whose_session_has_ended_are_not_shown(fake_redis: ArqRedis, clock: ManualClock) -> None:
    """Long before their announcement expires."""
    await session_put(fake_redis, clock.now_ms)
    await run_plan(fake_redis, announce_worker(KEYS, worker_info(beat_at_ms=clock.now_ms)), "beating")
    clock.advance(2)
    assert len((await seen(fake_redis)).workers) == 1
    clock.advance(0.1)

    assert (await seen(fake_redis)).workers == []


def _fill_lanes(pipe: Any) -> None:
    for n in range(MAX_LANES * 5):
        lane_put(pipe, str(n), n, bulk=bool(n % 2))


def _fill_pauses(pipe: Any) -> None:
    pipe.hset(KEYS.paused, mapping={f"user:{n}": n for n in range(MAX_PAUSES * 20)})
    pipe.hset(KEYS.paused, "everything", 5)


def _fill_workers(pipe: Any) -> None:
    session_put(pipe, 1e15)
    for n in range(MAX_WORKERS * 2):
        pipe.zadd(KEYS.workers, {f"north:s1:{n}": 1e15})
        pipe.set(KEYS.worker + f"north:s1:{n}", msgspec.msgpack.encode(worker_info(str(n), beat_at_ms=1)))


@pytest.mark.parametrize("fill", [_fill_lanes, _fill_pauses, _fill_workers])
async def test_an_overview_is_bounded_whatever_the_size_of_the_queue(
    redis: ArqRedis, fill: Callable[[Any], None]
) -> None:
    """The totals are exact all the same, and a pause of everything is always shown."""
    async with redis.pipeline() as pipe:
        fill(pipe)
        await pipe.execute()

    found = await seen(redis)

    assert len(found.next_lanes) <= MAX_LANES
    assert len(found.pauses) <= MAX_PAUSES + 1
    assert len(found.workers) <= MAX_WORKERS
    if fill is _fill_lanes:
        assert found.interactive.users + found.bulk.users == MAX_LANES * 5
        assert [lane.user_id for lane in found.next_lanes] == [str(n) for n in range(MAX_LANES)]
    if fill is _fill_pauses:
        assert found.pauses_total == MAX_PAUSES * 20 + 1
        assert "everything" in {pause.kind for pause in found.pauses}
    if fill is _fill_workers:
        assert len(found.workers) == MAX_WORKERS


async def test_an_overview_writes_nothing(valkey: ArqRedis) -> None:
    """Not even where something expired."""
    await run_plan(valkey, announce_worker(KEYS, worker_info(beat_at_ms=1)), "beating")
    async with valkey.pipeline() as pipe:
        lane_put(pipe, "1", 1)
        await pipe.execute()
    before = await valkey.info("persistence")

    await seen(valkey)

    after = await valkey.info("persistence")
    assert after["rdb_changes_since_last_save"] == before["rdb_changes_since_last_save"]


async def test_the_overview_shows_what_producers_and_workers_did(redis: ArqRedis) -> None:
    """Written by real operations rather than by keys that the test sets."""
    producer = Producer(redis)
    await producer.enqueue(change("1"))
    await producer.enqueue(change("2"))
    await producer.fan_out([change("3"), change("4")], batch_id="july")
    await producer.pause(user_id="2")
    await producer.limit_user("3", 4)
    (claimed, *_) = await Lanes(redis).claim(1)

    found = await producer.overview()

    assert (found.interactive.users, found.bulk.users, found.in_flight, found.batches) == (1, 2, 1, 1)
    assert (found.overrides, [(pause.kind, pause.name) for pause in found.pauses]) == (1, [("user", "2")])
    lanes = {lane.user_id: lane for lane in found.next_lanes}
    assert claimed.lane == "1:t1"
    assert set(lanes) == {"2", "3", "4"}
    assert {user for user, lane in lanes.items() if lane.paused} == {"2"}
    assert {user for user, lane in lanes.items() if lane.priority is Priority.BULK} == {"3", "4"}
    assert lanes["3"].rate_per_s == 4.0
    assert [egress.name for egress in found.egresses] == ["default"]
