"""The dispatcher beside a slow Redis and a malformed lane."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from producers.contract import keyspace
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_waiting_for_a_wakeup_is_not_taken_for_an_unreachable_redis(
    valkey: ArqRedis, valkey_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the time-out of a command is shorter than the wait."""
    async with rig_on(valkey, tmp_path) as rig, rig.working(redis_timeout_s=0.6) as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        assert worker._dispatcher is not None
        impatient = open_redis(valkey_dsn, ArqRedis, timeout_s=0.6)
        monkeypatch.setattr(worker._dispatcher, "_redis", impatient)

        try:
            assert await worker._dispatcher._wait_for_wakeup() is False
        finally:
            monkeypatch.undo()
            await impatient.aclose()


async def test_a_burst_worker_ends_although_a_lane_is_malformed(valkey: ArqRedis, tmp_path: Path) -> None:
    """The malformed lane is put off, and a burst does not wait for it."""
    async with rig_on(valkey, tmp_path) as rig:
        await valkey.set(keyspace.LANE + "1001:t1", "no list")
        await valkey.zadd(keyspace.SCHEDULE, {"1001:t1": 1})
        other = await rig.producer.enqueue(change("1002"))
        worker = rig.worker()

        try:
            async with asyncio.timeout(4):
                await worker.async_run()
        finally:
            await worker.close()

        assert (await other.result(timeout=0)).applied


async def test_a_burst_worker_does_not_count_an_unreadable_lane_that_is_gone(valkey: ArqRedis, tmp_path: Path) -> None:
    """It was removed since; another lane that is scheduled for later is still waited for."""
    async with rig_on(valkey, tmp_path) as rig, rig.working() as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        dispatcher = worker._dispatcher
        assert dispatcher is not None
        dispatcher._unreadable_lanes |= {"gone:t1", "1001:t1"}
        await valkey.zadd(keyspace.SCHEDULE, {"1001:t1": 9e12, "1002:t1": 9e12})
        drained = [await dispatcher._has_only_unreadable_lanes()]
        await valkey.zrem(keyspace.SCHEDULE, "1002:t1")
        drained.append(await dispatcher._has_only_unreadable_lanes())

        assert drained == [False, True]
        assert dispatcher._unreadable_lanes == {"1001:t1"}
