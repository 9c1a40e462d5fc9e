"""The dispatcher beside a slow Redis, without a session, and with a user that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.transport.dsn import open_redis
from producers.transport.runner import execute
from tests.support.changes import change, numbered
from tests.support.lanes import UNHINDERED, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.attempt.attempt import AttemptRunner
from worker.process import drained
from worker.process.dispatcher import Dispatcher
from worker.process.egress_block import EgressBlock
from worker.process.hand import AttemptsInHand
from worker.process.shared import Shared
from worker.queue.claim import Claimer
from worker.queue.claims import Claim, Claims
from worker.queue.redis_retry import RedisAvailability
from worker.queue.session import Session
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE


class StoppingClaimer:
    """Claims nothing, and stops the dispatcher with its second claim. Takes note of whether its session is trusted."""

    def __init__(self, session: Session) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.session = session
        self.were_trusted: list[bool] = []

    async def claim(self, _: int) -> Claims:
        """Return that another user is due at once."""
        self.were_trusted.append(self.session.is_trusted(self.session.session_id))
        if len(self.were_trusted) > 1:
            self.stop()
        return Claims([], [], 0.0)


def idle(
    redis: ArqRedis, claimer: Claimer, clock: ManualClock | None = None, hand: AttemptsInHand | None = None
) -> Dispatcher:
    """A dispatcher that does not run, and sends nothing."""
    pulse = clock or ManualClock()
    return Dispatcher(
        redis=redis,
        availability=RedisAvailability(pulse),
        claimer=claimer,
        attempt_runner=cast("AttemptRunner", SimpleNamespace(stop=lambda: None)),
        clock=pulse,
        settings=WorkerSettings(),
        shared=Shared({}, lambda _: None, hand or AttemptsInHand(100), EgressBlock()),
    )


async def test_waiting_for_a_wakeup_is_not_taken_for_an_unreachable_redis(
    valkey: ArqRedis, valkey_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the time-out of a command is shorter than the wait."""
    async with rig_on(valkey, tmp_path) as rig, rig.working(redis_timeout_s=0.6) as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        assert worker._dispatching is not None
        impatient = open_redis(valkey_dsn, ArqRedis, timeout_s=0.6)
        wakeups = worker._dispatching.shards[0].dispatcher._wakeups
        monkeypatch.setattr(wakeups, "_redis", impatient)

        try:
            assert await wakeups.wait() is False
        finally:
            monkeypatch.undo()
            await impatient.aclose()


async def test_a_burst_worker_ends_although_a_user_cannot_be_read(valkey: ArqRedis, tmp_path: Path) -> None:
    """The user is put off, and a burst does not wait for it."""
    async with rig_on(valkey, tmp_path) as rig:
        await valkey.set(KEYS.lanes + "1001", "no sorted set")
        await valkey.zadd(KEYS.schedule, {"1001": 1})
        other = await rig.producer.enqueue(change("1002"))
        worker = rig.worker()

        try:
            async with asyncio.timeout(30):
                await worker.async_run()
        finally:
            await worker.close()

        assert (await other.result(timeout=0)).applied


async def test_a_burst_worker_does_not_count_an_unreadable_user_that_is_gone(valkey: ArqRedis, tmp_path: Path) -> None:
    """It was removed since; another user that is scheduled for later is still waited for."""
    async with rig_on(valkey, tmp_path) as rig, rig.working() as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        assert worker._dispatching is not None
        dispatcher = worker._dispatching.shards[0].dispatcher
        dispatcher._unreadable |= {"gone", "1001"}
        await valkey.zadd(KEYS.schedule, {"1001": 9e12, "1002": 9e12})
        drained = [await dispatcher._is_drained()]
        await valkey.zrem(KEYS.schedule, "1002")
        drained.append(await dispatcher._is_drained())

        assert drained == [False, True]
        assert dispatcher._unreadable == {"1001"}


@pytest.mark.parametrize("begins", [False, True], ids=["other works", "other begins"])
async def test_a_burst_worker_does_not_end_while_another_goes_from_one_change_to_the_next(
    fake_redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    """It never sees the lane neither scheduled nor in flight."""
    lanes = Lanes(fake_redis)
    await lanes.submit(*[(str(number), each) for number, each in enumerate(numbered(9))])
    if not begins:
        await lanes.claimer.session.renew()
    in_flight: list[Claim] = []

    async def meanwhile(*args: Any) -> Any:
        reply = await execute(*args)
        if in_flight:
            await lanes.done(in_flight.pop())
        else:
            in_flight.append(await lanes.claim_one())
        return reply

    monkeypatch.setattr(drained, "execute", meanwhile)
    dispatcher = idle(fake_redis, lanes.claimer)

    assert [await dispatcher._is_drained() for _ in range(5)] == [False] * 5


async def test_a_worker_claims_only_while_it_trusts_its_session(fake_redis: ArqRedis) -> None:
    """It waits for the renewal, and asks for one at once."""
    clock = ManualClock()
    session = Session(fake_redis, clock, WorkerSettings(), UNHINDERED)
    claimer = StoppingClaimer(session)
    dispatcher = idle(fake_redis, cast("Claimer", claimer), clock)
    claimer.stop = dispatcher.stop

    running = asyncio.create_task(dispatcher.run())
    await session._due.wait()
    assert claimer.were_trusted == []
    await session.renew()
    await running

    assert claimer.were_trusted == [True, True]


async def test_a_dispatcher_that_may_not_claim_leaves_its_turn_to_the_next_shard(fake_redis: ArqRedis) -> None:
    """Its Redis is away: it stands in line again when its session is trusted."""
    clock, hand = ManualClock(), AttemptsInHand(1)
    session = Session(fake_redis, clock, WorkerSettings(), UNHINDERED)
    claimer = StoppingClaimer(session)
    dispatcher = idle(fake_redis, cast("Claimer", claimer), clock, hand)
    claimer.stop = dispatcher.stop
    first, last = hand.place(), hand.place()
    assert [place.reserve() for place in (first, dispatcher._place, last)] == [1, 0, 0]
    hand.release()

    running = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(30):
        await last.wait_turn()
        assert last.reserve() == 1
        hand.release()
        await session.renew()
        await running

    assert claimer.were_trusted == [True, True]
