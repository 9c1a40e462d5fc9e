"""The control queue beside the lanes: `submit`, cron, functions, and jobs of killed workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from signal import SIGTERM
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.cron import cron
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from producers import InvalidId, Job, Priority, Producer, QueueUnavailable
from producers.contract.codec import decode_change
from tests.support.arq_app import answer, as_arq_app
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process import control_jobs, control_queue, lane_worker

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_a_submit_job_enqueues_a_change_that_is_applied(redis: ArqRedis, tmp_path: Path) -> None:
    """Through arq's own `enqueue_job`, in wire names."""
    async with rig_on(redis, tmp_path) as rig:
        job = await as_arq_app(redis).enqueue_job("submit", msgspec.to_builtins(change()), _job_id="c1")

        assert await answer(rig, job) == {"jobId": "c1.change", "alreadyThere": False}
        result = await rig.result("c1.change")
        assert result is not None
        assert result.applied


async def test_a_repeated_submit_job_adds_nothing(valkey: ArqRedis, tmp_path: Path) -> None:
    """The change's ID follows from the control job's."""
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.enqueue(change(), job_id="c1.change")
        job = await as_arq_app(valkey).enqueue_job("submit", msgspec.to_builtins(change()), _job_id="c1")

        assert await answer(rig, job) == {"jobId": "c1.change", "alreadyThere": True}
        assert rig.values_seen() == ["1"]


async def test_a_submit_job_takes_the_options_of_enqueue(valkey: ArqRedis) -> None:
    """Under their wire names; null is the default."""
    context = {"producer": Producer(valkey), "job_id": "c1", "job_try": 1}
    wire = msgspec.to_builtins(change())

    await control_jobs.submit(context, wire, ttlS=60, priority="bulk", coalesce=True)
    await control_jobs.submit(context | {"job_id": "c2"}, wire, ttlS=None, priority=None, coalesce=None, batchId=None)

    chosen, default = [decode_change(await valkey.get(KEYS.job + f"{name}.change")).k for name in ("c1", "c2")]
    assert (chosen.ttl_ms, chosen.priority, chosen.coalesce) == (60_000, Priority.BULK, True)
    assert (default.ttl_ms, default.priority, default.coalesce) == (86_400_000, msgspec.UNSET, msgspec.UNSET)


@pytest.mark.parametrize("job_id", ["a..b", "a//b", "a~~b", "a.", "x" * 122])
async def test_a_submit_job_whose_id_gives_no_id_of_a_change_fails(valkey: ArqRedis, job_id: str) -> None:
    """Each rule that the page of the wire has for the IDs of jobs."""
    context = {"producer": Producer(valkey), "job_id": job_id, "job_try": 1}

    with pytest.raises(InvalidId, match=r"^jobId: "):
        await control_jobs.submit(context, msgspec.to_builtins(change()))

    assert await valkey.dbsize() == 0


async def test_submit_jobs_add_changes_to_a_batch_and_seal_batch_completes_it(valkey: ArqRedis, tmp_path: Path) -> None:
    """Through arq's own `enqueue_job`; the batch names its changes after the jobs."""
    async with rig_on(valkey, tmp_path) as rig:
        app, batch = as_arq_app(valkey), rig.producer.batch("july")
        for user in ("1001", "1002"):
            job = await app.enqueue_job("submit", msgspec.to_builtins(change(user)), _job_id=f"c{user}", batchId="july")
            assert await answer(rig, job) == {"jobId": f"july..c{user}.change", "alreadyThere": False}
        assert not (await batch.progress()).complete

        assert await answer(rig, await app.enqueue_job("seal_batch", "july")) == {"batchId": "july"}

        progress = await batch.progress()
        assert (progress.complete, progress.total, progress.outcomes) == (True, 2, {"applied": 2})
        assert [result.user_id async for result in batch.results()] == ["1001", "1002"]


@pytest.mark.parametrize("argument", [msgspec.to_builtins(change()), {}], ids=["accepted", "failed"])
async def test_the_end_of_a_control_job_is_announced(
    valkey: ArqRedis, tmp_path: Path, argument: dict[str, Any]
) -> None:
    """On the channel of a change with its ID, so that an app need not poll for the reason of a failure."""
    async with rig_on(valkey, tmp_path) as rig, valkey.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(KEYS.job_done + "c1")
        await pubsub.get_message(timeout=30)
        await as_arq_app(valkey).enqueue_job("submit", argument, _job_id="c1")

        await rig.drain()

        message = await pubsub.get_message(timeout=30)
        assert message is not None
        assert message["data"] == b"c1"


async def test_a_submit_job_that_redis_does_not_answer_is_run_again(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its app could not repeat it: arq takes an ID only once."""
    enqueue, refusals = Producer.enqueue, iter(["away"])

    async def away_at_first(*args: Any, **options: Any) -> Job:
        for refusal in refusals:
            raise QueueUnavailable(refusal)
        return await enqueue(*args, **options)

    async with rig_on(valkey, tmp_path) as rig:
        monkeypatch.setattr(Producer, "enqueue", away_at_first)
        job = await as_arq_app(valkey).enqueue_job("submit", msgspec.to_builtins(change()), _job_id="c1")

        assert await answer(rig, job) == {"jobId": "c1.change", "alreadyThere": False}


async def test_a_submit_job_that_redis_never_answers_fails_with_the_reason(
    valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last of its tries."""

    async def away(*_: Any, **__: Any) -> Job:
        raise QueueUnavailable("away")

    monkeypatch.setattr(Producer, "enqueue", away)
    context = {"producer": Producer(valkey), "job_id": "c1", "job_try": control_jobs.SUBMIT_TRIES}

    with pytest.raises(QueueUnavailable, match="away"):
        await control_jobs.submit(context, msgspec.to_builtins(change()))


async def test_cron_jobs_and_functions_are_served_beside_the_lanes(valkey: ArqRedis, tmp_path: Path) -> None:
    """A cron job, a function and a change in one worker."""
    ticked = asyncio.Event()

    async def tick(ctx: dict[Any, Any]) -> None:
        assert ctx
        ticked.set()

    async def double_it(ctx: dict[Any, Any], number: int) -> int:
        assert ctx
        return number * 2

    async with rig_on(valkey, tmp_path) as rig:
        crons = [cron(tick, run_at_startup=True)]
        async with rig.working(functions=[func(double_it, name="double_it")], cron_jobs=crons):
            job = await as_arq_app(valkey).enqueue_job("double_it", 21)
            assert job is not None
            change_result = await (await rig.producer.enqueue(change())).result()

            assert change_result.applied
            assert await job.result(timeout=20, poll_delay=0.05) == 42
            await ticked.wait()


async def test_control_jobs_are_served_again_after_redis_failed_many_times_in_mid_start(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job counts as started before arq talks to Redis; a failure there must not cost a place for ever."""
    monkeypatch.setattr(lane_worker, "CONTROL_POLL_S", 0.01)
    as_arq_app(valkey)
    async with rig_on(valkey, tmp_path) as rig, rig.working() as worker:
        await (await rig.producer.enqueue(change())).result(timeout=20)
        failures = iter(range(lane_worker.CONTROL_JOBS + 2))
        pipeline = worker.pool.pipeline

        def failing(*args: Any, **options: Any) -> Any:
            task = asyncio.current_task()
            if task is worker.main_task and next(failures, None) is not None:
                raise RedisConnectionError("gone")
            return pipeline(*args, **options)

        monkeypatch.setattr(worker.pool, "pipeline", failing)
        job = await valkey.enqueue_job("submit", msgspec.to_builtins(change("1002")), _job_id="c1")
        assert job is not None

        assert (await job.result(timeout=30, poll_delay=0.05))["jobId"] == "c1.change"


async def test_a_control_job_of_a_killed_worker_is_started_by_another_when_its_lease_lapses(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """The key that keeps others from it lives for ten seconds, not for the job's time-out."""
    started = asyncio.Event()

    async def hang(ctx: dict[str, Any]) -> None:
        assert ctx
        started.set()
        await asyncio.Event().wait()

    async with rig_on(valkey, tmp_path) as rig, rig.working(functions=[func(hang, name="hang")]) as worker:
        await as_arq_app(valkey).enqueue_job("hang", _job_id="c1")
        await started.wait()

        lease_ms = await valkey.pttl(in_progress_key_prefix + "c1")
        worker.handle_sig(SIGTERM)

    assert 0 < lease_ms <= control_queue.LEASE_S * 1000 <= 14_000


async def test_a_control_job_that_takes_longer_than_its_lease_is_run_once(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker renews the lease; a second worker looks for jobs meanwhile."""
    monkeypatch.setattr(control_queue, "LEASE_S", 0.2)
    monkeypatch.setattr(lane_worker, "CONTROL_POLL_S", 0.02)
    runs: list[str] = []

    async def slow(ctx: dict[str, Any]) -> None:
        runs.append(ctx["job_id"])
        await asyncio.sleep(1)

    async with rig_on(valkey, tmp_path) as rig:
        job = await as_arq_app(valkey).enqueue_job("slow", _job_id="c1")
        assert job is not None
        functions = [func(slow, name="slow")]
        async with rig.working(functions=functions), rig.working(functions=functions):
            await job.result(timeout=20, poll_delay=0.02)

    assert runs == ["c1"]
