"""A worker whose Redis goes away, or no longer accepts its password: it waits, and says so once for all its parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.redis_server import Valkey
from producers.logs import ATTRIBUTE
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.logs import Event
from worker.process.presence import PART
from worker.queue import redis_retry
from worker.queue.redis_retry import RedisAvailability

PARTS = {"renewing the session", "wake-ups", "control jobs", "announcing this worker"}
FAILURES = 25
"""The parts of an idle worker that fail while Redis is away, and how often altogether, before it is back."""

pytestmark = ARQ_CLOSES_OLD_STYLE


def redis_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[Event, str]]:
    """Return the events and messages about Redis."""
    found = [(getattr(record, ATTRIBUTE, (None,))[0], record.getMessage()) for record in caplog.records]
    return [(event, message) for event, message in found if event in (Event.REDIS_AWAY, Event.REDIS_BACK)]


async def logged(caplog: pytest.LogCaptureFixture, event: Event) -> None:
    """Wait until the last line about Redis is of this event."""
    while [found for found, _ in redis_lines(caplog)][-1:] != [event]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_worker_logs_an_outage_of_redis_once_and_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts fail many times meanwhile; then it goes on."""
    failed: list[str] = []
    note = RedisAvailability.failed

    def count(self: RedisAvailability, part: str, error: BaseException) -> None:
        failed.append(part)
        note(self, part, error)

    monkeypatch.setattr(RedisAvailability, "failed", count)
    settings = {"health_interval_s": 0.2, "request_timeout_s": 1.0}
    with Valkey(tmp_path / "redis") as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=5)
        async with (
            rig_on(redis, tmp_path) as rig,
            rig.working(**settings),
        ):
            await (await rig.producer.enqueue(change())).result(timeout=20)
            server.kill()
            while not set(failed) >= PARTS or len(failed) < FAILURES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            server.start()
            await logged(caplog, Event.REDIS_BACK)
            result = await (await rig.producer.enqueue(change())).result(timeout=20)
        await redis.aclose()

    assert [event for event, _ in redis_lines(caplog)] == [Event.REDIS_AWAY, Event.REDIS_BACK]
    assert result.applied


async def test_a_worker_hears_soon_that_a_frozen_redis_is_back(tmp_path: Path) -> None:
    """Long before it is to announce itself again."""
    with Valkey(tmp_path / "redis") as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=0.5)
        async with rig_on(redis, tmp_path) as rig, rig.working(health_interval_s=3600, redis_timeout_s=0.5) as worker:
            await (await rig.producer.enqueue(change())).result(timeout=20)
            (session,) = worker._monitoring.health.sessions
            server.freeze()
            session.replaced.set()  # it announces a new session at once
            while PART not in worker._availability.problems:  # noqa: ASYNC110 - what is known is what is awaited
                await asyncio.sleep(0.01)
            server.thaw()
            while worker._availability.problems:  # noqa: ASYNC110 - what is known is what is awaited
                await asyncio.sleep(0.01)
            result = await (await rig.producer.enqueue(change())).result(timeout=20)
        await redis.aclose()

    assert result.applied


async def test_a_worker_whose_wake_ups_are_refused_is_ready(tmp_path: Path) -> None:
    """It claims and sends."""
    with Valkey(tmp_path / "redis") as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=5)
        async with rig_on(redis, tmp_path) as rig, rig.working() as worker:
            await (await rig.producer.enqueue(change())).result(timeout=20)
            await redis.acl_setuser("default", enabled=True, commands=["-blpop"])
            while "wake-ups" not in worker._availability.problems:  # noqa: ASYNC110 - what is known is awaited
                await asyncio.sleep(0.01)
            result = await (await rig.producer.enqueue(change())).result(timeout=20)
            reasons = worker._monitoring.health.unready_reasons()
        await redis.aclose()

    assert result.applied
    assert reasons == {}


async def test_a_password_that_becomes_wrong_stops_no_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the password, waits, and goes on when the password is right again."""
    monkeypatch.setattr(redis_retry, "LOG_INTERVAL_S", 0.2)  # the lost connection is logged first
    with Valkey(tmp_path / "redis") as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=5)
        async with rig_on(redis, tmp_path) as rig, rig.working():
            await (await rig.producer.enqueue(change())).result(timeout=20)
            await redis.config_set("requirepass", "hush")
            await redis.client_kill_filter(_type="normal", skipme=True)
            while not any("Redis requires a password" in message for _, message in redis_lines(caplog)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await redis.config_set("requirepass", "")
            await logged(caplog, Event.REDIS_BACK)
            result = await (await rig.producer.enqueue(change())).result(timeout=20)
        await redis.aclose()

    assert result.applied
