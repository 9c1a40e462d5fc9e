"""The dispatcher beside a slow Redis, after an outage, and with a malformed lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from ops.keys import KEYS
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.manual_clock import ManualClock
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.attempt.attempt import AttemptRunner
from worker.process.dispatcher import SETTLE_FIRST_S, Dispatcher
from worker.queue.claim import Claimer
from worker.queue.claims import Claims
from worker.queue.redis_retry import RedisAvailability
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE


class RecordingClock(ManualClock):
    """A clock that takes note of each sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.waits_s.append(seconds)
        await super().sleep(seconds)


class StoppingClaimer:
    """Claims nothing, and stops the dispatcher with its second claim. Takes note of what was slept before each."""

    def __init__(self, waits_s: list[float]) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.waits_at_claims_s: list[list[float]] = []
        self._waits_s = waits_s

    async def claim(self, _: int) -> Claims:
        """Return that another lane is due at once."""
        self.waits_at_claims_s.append(list(self._waits_s))
        if len(self.waits_at_claims_s) > 1:
            self.stop()
        return Claims([], [], 0.0)


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
        await valkey.set(KEYS.lane + "1001:t1", "no list")
        await valkey.zadd(KEYS.schedule, {"1001:t1": 1})
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
        await valkey.zadd(KEYS.schedule, {"1001:t1": 9e12, "1002:t1": 9e12})
        drained = [await dispatcher._has_only_unreadable_lanes()]
        await valkey.zrem(KEYS.schedule, "1002:t1")
        drained.append(await dispatcher._has_only_unreadable_lanes())

        assert drained == [False, True]
        assert dispatcher._unreadable_lanes == {"1001:t1"}


@pytest.mark.parametrize(
    ("error", "waits_s"),
    [
        (ResponseError("NOREPLICAS Not enough good replicas to write."), [SETTLE_FIRST_S]),
        (RedisConnectionError("reset"), [SETTLE_FIRST_S]),
        (ResponseError("OOM command not allowed when used memory > 'maxmemory'."), []),
        (ResponseError("WRONGTYPE Operation against a key"), []),
        (None, []),
    ],
)
async def test_workers_settle_before_another_claims_after_an_outage(
    fake_redis: ArqRedis, error: Exception | None, waits_s: list[float]
) -> None:
    """Whichever part of the worker met the outage, and once for each; a refusal that others do not meet is none."""
    clock = RecordingClock()
    availability = RedisAvailability(clock)
    claimer = StoppingClaimer(clock.waits_s)
    dispatcher = Dispatcher(
        redis=fake_redis,
        availability=availability,
        claimer=cast("Claimer", claimer),
        attempt_runner=cast("AttemptRunner", SimpleNamespace(stop=lambda: None)),
        clock=clock,
        settings=WorkerSettings(),
        tasks={},
        on_settled=lambda _: None,
    )
    claimer.stop = dispatcher.stop
    if error is not None:
        availability.failed("the start", error)
        availability.served("the start")

    await dispatcher.run()

    assert claimer.waits_at_claims_s == [waits_s, waits_s]
