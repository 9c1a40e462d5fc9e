"""What LaneWorker relies on in arq, so that a change of arq is noticed."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from typing import Any

import arq.version
import pytest
from arq.connections import ArqRedis
from arq.constants import default_queue_name, job_key_prefix, result_key_prefix
from arq.utils import poll
from arq.worker import Worker

from ops.keys import KEYS
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process.control_jobs import SUBMIT_TRIES
from worker.process.control_queue import ControlQueueWorker
from worker.process.lane_worker import LaneWorker
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

SIGNATURES = {
    "main": "(self) -> None",
    "_poll_iteration": "(self) -> None",
    "start_jobs": "(self, job_ids: list[bytes]) -> None",
    "run_job": "(self, job_id: str, score: int) -> None",
    "finish_job": (
        "(self, job_id: str, finish: bool, result_data: Optional[bytes], result_timeout_s: Optional[float],"
        " keep_result_forever: bool, incr_score: Optional[int], keep_in_progress: Optional[float]) -> None"
    ),
    "finish_failed_job": "(self, job_id: str, result_data: Optional[bytes]) -> None",
    "handle_sig_wait_for_completion": "(self, signum: signal.Signals) -> None",
    "_sleep_until_tasks_complete": "(self) -> None",
    "close": "(self) -> None",
    "async_run": "(self) -> None",
    "heart_beat": "(self) -> None",
    "record_health": "(self) -> None",
    "run_cron": "(self, n: datetime.datetime, delay: float, num_windows: int = 2) -> None",
}
"""Methods that are overridden or called, as arq 0.28 has them."""

COROUTINES = set(SIGNATURES) - {"handle_sig_wait_for_completion"}


def test_arq_is_of_the_version_that_the_overrides_were_checked_against() -> None:
    """A new version needs a look at every private member that LaneWorker overrides."""
    assert arq.version.VERSION.startswith("0.28")


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_method_that_is_relied_on_has_its_signature(name: str) -> None:
    """As text, so that a new parameter shows."""
    method = getattr(Worker, name)

    assert str(inspect.signature(method)).replace("typing.", "") == SIGNATURES[name]
    assert inspect.iscoroutinefunction(method) == (name in COROUTINES)


def test_every_override_has_the_signature_of_arq_s_method() -> None:
    """Every overridden method is in the list above."""
    overridden = {
        name
        for ours in (ControlQueueWorker, LaneWorker)
        for name, member in vars(ours).items()
        if inspect.isfunction(member) and name != "__init__" and hasattr(Worker, name)
    }

    assert overridden <= set(SIGNATURES)
    for name in overridden:
        ours, theirs = inspect.signature(getattr(LaneWorker, name)), inspect.signature(getattr(Worker, name))
        assert list(ours.parameters) == list(theirs.parameters)


def test_job_and_result_keys_are_arq_s() -> None:
    """Tools for arq find changes and results under the keys they know."""
    assert (job_key_prefix, result_key_prefix) == (KEYS.job, KEYS.result)


def test_the_control_queue_is_not_the_one_that_arq_apps_have_by_default() -> None:
    """Nor is its health key."""
    assert WorkerSettings().queue == keyspace.CONTROL_QUEUE != default_queue_name


def test_arq_tries_a_job_as_often_as_a_submit_job_reckons() -> None:
    """At the last try it fails with the reason instead of asking for another."""
    assert inspect.signature(Worker).parameters["max_tries"].default == SUBMIT_TRIES


def test_arq_s_poll_yields_before_it_sleeps() -> None:
    """The first control jobs are served at the start, not one poll delay later."""

    async def first() -> float:
        async for elapsed in poll(3600):
            return elapsed
        raise AssertionError

    assert asyncio.run(first()) < 60


async def test_arq_s_poll_removes_ended_tasks_and_raises_their_errors(valkey: ArqRedis, tmp_path: Path) -> None:
    """So attempts must remove themselves and never raise."""
    async with rig_on(valkey, tmp_path) as rig:
        worker = rig.worker()

        async def broken() -> None:
            raise LookupError

        worker.tasks["x"] = asyncio.create_task(broken())
        await asyncio.wait(worker.tasks.values())

        with pytest.raises(LookupError):
            await Worker._poll_iteration(worker)

        assert worker.tasks == {}
        await worker.close()


async def test_control_jobs_get_the_context_of_startup(valkey: ArqRedis, tmp_path: Path) -> None:
    """The producer, the Redis client and arq's own fields."""
    seen: dict[str, Any] = {}

    async def look(ctx: dict[str, Any]) -> None:
        seen.update(ctx)

    async with rig_on(valkey, tmp_path) as rig:
        worker = rig.worker(functions=[look])
        await worker.pool.enqueue_job(look.__qualname__, _job_id="c1")
        await worker.async_run()
        await worker.close()

    assert seen["job_id"] == "c1"
    assert {"producer", "redis", "job_try"} <= set(seen)


async def test_a_signal_stops_picking_jobs_and_waits_for_running_tasks(valkey: ArqRedis, tmp_path: Path) -> None:
    """The handler of arq waits for `tasks`, which include attempts, and then ends `main`."""
    async with rig_on(valkey, tmp_path) as rig:
        worker = rig.worker(burst=False)
        running = asyncio.create_task(worker.async_run())
        assert (await (await rig.producer.enqueue(change())).result(timeout=20)).applied
        release = asyncio.Event()

        async def under_way() -> None:
            await release.wait()
            del worker.tasks["x"]

        worker.tasks["x"] = asyncio.create_task(under_way())
        worker.handle_sig_wait_for_completion(SIGTERM)
        assert not worker.allow_pick_jobs
        assert not running.done()
        release.set()

        async with asyncio.timeout(30):
            await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        await worker.close()


async def test_arq_writes_its_health_key(valkey: ArqRedis, tmp_path: Path) -> None:
    """Monitoring made for arq keeps working."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        await (await rig.producer.enqueue(change())).result(timeout=20)

        assert b"j_ongoing=" in (await valkey.get(keyspace.CONTROL_QUEUE + ":health-check") or b"")


async def test_a_cancellation_that_redis_py_swallows_does_not_keep_the_worker_from_stopping(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 `asyncio.wait_for`, used by redis-py, drops a cancellation if its future is done."""
    polled = asyncio.Event()

    async def swallowing(*_: object, **__: object) -> list[bytes]:
        polled.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    async with rig_on(valkey, tmp_path) as rig:
        worker = rig.worker(burst=False)
        monkeypatch.setattr(worker.pool, "zrangebyscore", swallowing)
        running = asyncio.create_task(worker.async_run())
        await polled.wait()

        worker.handle_sig_wait_for_completion(SIGTERM)

        try:
            async with asyncio.timeout(30):
                await asyncio.wait({running})
            assert running.cancelled()
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)
