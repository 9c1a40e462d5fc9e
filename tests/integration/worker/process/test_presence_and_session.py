"""Whether a worker is shown: as long as its session lasts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.monitor.worker_info import WorkerInfo
from tests.support.announcements import TTL_S, announcer, renew, shown_workers
from tests.support.manual_clock import ManualClock
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE


async def first_shown(redis: ArqRedis) -> WorkerInfo:
    """Wait until a worker is shown."""
    while not (shown := await shown_workers(redis)):  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0.01)
    return shown[0]


async def test_a_worker_that_was_killed_vanishes_with_its_session(fake_redis: ArqRedis, clock: ManualClock) -> None:
    """Its announcement is still there, and other workers are still shown."""
    killed, other = await announcer(fake_redis, clock), await announcer(fake_redis, clock)
    await killed.announce()
    await other.announce()
    clock.advance(TTL_S)
    assert len(await shown_workers(fake_redis)) == 2, "its session ends only now"
    await renew(other)
    clock.advance(0.001)

    assert await shown_workers(fake_redis) == [other._announced]
    assert await fake_redis.zcard(KEYS.workers) == 2


async def test_a_worker_without_a_session_is_not_shown(redis: ArqRedis) -> None:
    """It has closed it, or lost it and does not know yet."""
    presence = await announcer(redis)
    await presence.announce()
    assert presence._session is not None
    await presence._session.close()

    assert await shown_workers(redis) == []


async def test_a_worker_that_lost_its_session_is_shown_again_with_the_next_one(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """Long before its next heartbeat: a worker that goes on is not taken for a dead one."""
    async with rig_on(valkey, tmp_path) as rig, rig.working(health_interval_s=60):
        shown = await first_shown(valkey)
        await valkey.hdel(KEYS.sessions, shown.session)  # type: ignore[misc]
        again = await first_shown(valkey)

    assert again.name == shown.name
    assert again.session != shown.session
