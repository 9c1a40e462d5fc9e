"""Wake-ups beside egresses that cannot send: the worker that can send gets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process import dispatcher as dispatcher_module
from worker.process.wakeups import Wakeups

pytestmark = ARQ_CLOSES_OLD_STYLE

TIMEOUT_S = 5.0


async def test_the_worker_of_a_paused_egress_leaves_wakeups_to_others(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken when its egress is resumed, although it listens to nothing else."""
    monkeypatch.setattr(dispatcher_module, "MAX_IDLE_S", 60)
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.pause(egress="slow")
        async with rig.working(egress="slow"):
            for number in range(5):  # the first ones may find it listening
                await rig.producer.enqueue(change(value=str(number)))
            other = Wakeups(valkey, "fast", TIMEOUT_S)
            assert await other.wait()
            last = await rig.producer.enqueue(change("1002"))
            assert await other.wait()

            await rig.producer.resume(egress="slow")

            assert (await last.result(timeout=20)).applied


async def test_a_change_of_a_pinned_user_wakes_an_idle_worker_of_its_egress(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does pinning a user whose change waits; nobody looks by himself here."""
    monkeypatch.setattr(dispatcher_module, "MAX_IDLE_S", 60)
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.pin_user("1001", "near")
        async with rig.working(egress="near"):
            assert (await (await rig.producer.enqueue(change("1001"))).result(timeout=20)).applied
            await rig.producer.pin_user("1002", "far")
            waiting = await rig.producer.enqueue(change("1002"))
            await rig.producer.pin_user("1002", "near")
            assert (await waiting.result(timeout=20)).applied


async def test_a_wakeup_that_was_waited_for_before_the_egress_was_blocked_is_passed_on(valkey: ArqRedis) -> None:
    """The wait began when the worker could still send."""
    blocked, other = Wakeups(valkey, "a", TIMEOUT_S), Wakeups(valkey, "b", TIMEOUT_S)
    waiting = asyncio.create_task(blocked.wait())
    while not (await valkey.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - asks another process
        await asyncio.sleep(0.01)
    assert blocked.set_blocked(is_blocked=True)
    await other.wake_other()

    assert await waiting is False
    assert await other.wait()


async def test_the_workers_of_an_egress_that_can_send_again_wake_each_other(valkey: ArqRedis) -> None:
    """One wake-up is enough for all of them."""
    workers = [Wakeups(valkey, "a", TIMEOUT_S) for _ in range(3)]
    for worker in workers:
        worker.set_blocked(is_blocked=True)
    await valkey.lpush(KEYS.egress_wakeups + "a", "1")  # type: ignore[misc]

    for worker in workers:
        assert await worker.wait()
        assert worker.set_blocked(is_blocked=False)
        await worker.tell_others()
    assert not workers[0].set_blocked(is_blocked=False)
