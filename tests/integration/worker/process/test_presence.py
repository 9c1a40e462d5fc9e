"""Announcements of workers: present as long as the session of the worker, and harmless when they fail."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers.monitor.worker_info import MAX_TTL_MS, WorkerInfo
from producers.transport.dsn import open_redis
from tests.support.announcements import Work, announcer, renew, shown_workers
from tests.support.changes import change, numbered
from tests.support.manual_clock import ManualClock
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process.presence import PresenceAnnouncer

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_a_running_worker_announces_its_settings_and_counts(redis: ArqRedis, tmp_path: Path) -> None:
    """The name begins with host and process ID, so that an operator finds the process."""
    async with rig_on(redis, tmp_path) as rig, rig.working(egress="north", max_jobs=7, user_rate_per_s=9) as worker:
        report = await rig.producer.enqueue_many(numbered(3))
        for job in report.jobs:
            await job.result(timeout=20)
        await worker._presence.announce()

        (info,) = await shown_workers(redis)

    assert (info.egress, info.max_jobs, info.user_rate_per_s, info.egress_rate_per_s) == ("north", 7, 9.0, 100.0)
    assert (info.ended, info.requeued, info.in_flight) == (3, 0, 0)
    assert info.name.startswith(f"{info.host}-{info.pid}-")
    assert info.started_at_ms <= info.beat_at_ms
    assert info.session
    assert info.interval_s == 10.0


async def test_a_worker_announces_itself_at_the_start_and_after_every_interval(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three heartbeats in a row, each later than the one before."""
    beaten: asyncio.Queue[WorkerInfo | None] = asyncio.Queue()
    beat = PresenceAnnouncer.announce

    async def telling(self: PresenceAnnouncer) -> None:
        await beat(self)
        beaten.put_nowait(self._announced)

    monkeypatch.setattr(PresenceAnnouncer, "announce", telling)
    async with rig_on(valkey, tmp_path) as rig, rig.working(health_interval_s=0.02):
        first, second, third = [await beaten.get() for _ in range(3)]

    assert first is not None
    assert second is not None
    assert third is not None
    assert first.started_at_ms <= first.beat_at_ms < second.beat_at_ms < third.beat_at_ms


async def test_a_worker_that_stops_withdraws_its_announcement(redis: ArqRedis, tmp_path: Path) -> None:
    """The announcements of others stay."""
    other = await announcer(redis)
    await other.announce()
    async with rig_on(redis, tmp_path) as rig:
        async with rig.working() as worker:
            await (await rig.producer.enqueue(change())).result(timeout=20)
            await worker._presence.announce()
            assert len(await shown_workers(redis)) == 2

        (left,) = await shown_workers(redis)

    assert left == other._announced
    assert await redis.zcard(KEYS.workers) == 1
    assert len(await redis.keys(KEYS.worker + "*")) == 1


async def test_the_entry_of_a_killed_worker_is_removed_after_three_intervals(
    fake_redis: ArqRedis, clock: ManualClock
) -> None:
    """By the next heartbeat of another worker."""
    killed, other = await announcer(fake_redis, clock), await announcer(fake_redis, clock)
    await killed.announce()
    clock.advance(29)
    await other.announce()
    entries = [await fake_redis.zcard(KEYS.workers)]
    clock.advance(2)
    await other.announce()
    entries.append(await fake_redis.zcard(KEYS.workers))

    assert entries == [2, 1]


async def test_every_key_of_an_announcement_has_a_ttl(redis: ArqRedis) -> None:
    """Even with an interval of a million seconds, a dead worker disappears by itself."""
    await (await announcer(redis, health_interval_s=1_000_000)).announce()

    (announced,) = await redis.keys(KEYS.worker + "*")
    assert 0 < await redis.pttl(announced) <= MAX_TTL_MS
    assert 0 < await redis.pttl(KEYS.workers) <= MAX_TTL_MS


async def test_workers_of_one_machine_have_different_names(redis: ArqRedis) -> None:
    """Containers share host names and process IDs."""
    for _ in range(3):
        await (await announcer(redis)).announce()

    assert len({worker.name for worker in await shown_workers(redis)}) == 3


async def test_the_start_time_of_a_worker_stays_the_same_over_heartbeats(
    fake_redis: ArqRedis, clock: ManualClock
) -> None:
    """It is the time of creation, not of the first heartbeat."""
    presence = await announcer(fake_redis, clock)
    started_ms = clock.now_ms
    clock.advance(4)
    await presence.announce()
    clock.advance(10)
    await renew(presence)
    await presence.announce()

    (info,) = await shown_workers(fake_redis)

    assert (info.started_at_ms, info.beat_at_ms) == (started_ms, started_ms + 14_000)


async def test_a_heartbeat_costs_at_most_eight_commands(valkey: ArqRedis) -> None:
    """Counted by the server from the second heartbeat on, when the script is loaded."""
    presence = await announcer(valkey)
    await presence.announce()
    before = (await valkey.info("stats"))["total_commands_processed"]

    await presence.announce()

    assert (await valkey.info("stats"))["total_commands_processed"] - before - 1 <= 8


async def test_an_unreachable_redis_is_logged_once_and_heartbeats_resume(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Three failed heartbeats and a failed withdrawal leave one warning in the log."""
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0", ArqRedis, timeout_s=1)
    presence = await announcer(redis)
    presence._redis = away

    with caplog.at_level(logging.WARNING, "worker"):
        for _ in range(3):
            await presence.announce()
        await presence.withdraw()
    assert len(caplog.records) == 1
    assert "Redis did not answer: nothing listens there" in caplog.text
    assert "waiting: announcing this worker" in caplog.text
    await away.aclose()

    presence._redis = redis
    await presence.announce()
    assert len(await shown_workers(redis)) == 1


async def test_heartbeats_go_on_after_an_error(redis: ArqRedis, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in the announcement must not stop a worker that does its work."""
    presence = await announcer(redis)
    presence._worker = None  # type: ignore[assignment]
    await presence.announce()
    assert "unexpected error" in caplog.text
    presence._worker = Work()

    await presence.announce()

    assert len(await shown_workers(redis)) == 1


@pytest.mark.parametrize("stored", [b"", b"\x80", b"\xff\xff", b"\x81\xa4name\xc4\x01\xff", b'{"name": 1}'])
async def test_a_malformed_announcement_is_ignored(redis: ArqRedis, stored: bytes) -> None:
    """It may be of another version."""
    await (await announcer(redis)).announce()
    session_id = (await shown_workers(redis))[0].session
    await redis.set(KEYS.worker + f"default:{session_id}:odd", stored)
    await redis.zadd(KEYS.workers, {f"default:{session_id}:odd": 1e15})

    assert len(await shown_workers(redis)) == 1
