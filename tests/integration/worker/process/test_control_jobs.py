"""arq's own queue beside the lanes: `submit`, cron, functions, and malformed jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.cron import cron
from arq.jobs import Job
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError

from producers import Outcome
from producers.contract import keyspace
from producers.contract.codec import deserialize, serialize
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, Rig, rig_on
from worker.process import lane_worker

pytestmark = ARQ_CLOSES_OLD_STYLE


def as_arq_app(redis: ArqRedis) -> ArqRedis:
    """Return the client of an app that has only arq, with msgpack."""
    redis.job_serializer, redis.job_deserializer = serialize, deserialize
    return redis


async def finished(rig: Rig, job: Job | None) -> Any:
    """Return the result that arq reads; raise what the job raised, as text."""
    assert job is not None
    await rig.drain()
    return await Job(job.job_id, rig.redis, _deserializer=deserialize).result(timeout=1, poll_delay=0.01)


async def test_a_submit_job_enqueues_a_change_that_is_applied(redis: ArqRedis, tmp_path: Path) -> None:
    """Through arq's own `enqueue_job`, in wire names."""
    async with rig_on(redis, tmp_path) as rig:
        job = await as_arq_app(redis).enqueue_job("submit", msgspec.to_builtins(change()), _job_id="c1")

        answer = await finished(rig, job)

        assert answer == {"jobId": "c1.change", "alreadyThere": False}
        result = await rig.result("c1.change")
        assert result is not None
        assert result.applied


async def test_a_submit_job_with_an_invalid_change_fails_with_the_reason(valkey: ArqRedis, tmp_path: Path) -> None:
    """The arq client that enqueued it gets the error, and no lane is scheduled."""
    async with rig_on(valkey, tmp_path) as rig:
        wire = msgspec.to_builtins(change()) | {"settings": []}
        job = await as_arq_app(valkey).enqueue_job("submit", wire)

        with pytest.raises(Exception, match="settings: must be a list of 1 to 10 settings"):
            await finished(rig, job)

        assert not await valkey.exists(keyspace.SCHEDULE)


@pytest.mark.parametrize("thing", [7, "x", [], {}, {"userId": 1}, None], ids=repr)
async def test_a_submit_job_with_something_else_than_a_change_fails_with_the_reason(
    valkey: ArqRedis, tmp_path: Path, thing: Any
) -> None:
    """Numbers, text, lists, incomplete objects and null are each an InvalidChange."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await as_arq_app(valkey).enqueue_job("submit", thing)

        with pytest.raises(Exception, match=r"InvalidChange: (change|userId): must be"):
            await finished(rig, job)


async def test_an_oversized_control_job_is_removed_unread(valkey: ArqRedis, tmp_path: Path) -> None:
    """More than a megabyte; the next job is served."""
    async with rig_on(valkey, tmp_path) as rig:
        as_arq_app(valkey)
        await valkey.enqueue_job("submit", {"userId": "x" * 2_000_000}, _job_id="huge")
        sound = await valkey.enqueue_job("submit", msgspec.to_builtins(change()))

        assert not (await finished(rig, sound))["alreadyThere"]
        assert not await valkey.exists(job_key_prefix + "huge")


async def test_a_repeated_submit_job_adds_nothing(valkey: ArqRedis, tmp_path: Path) -> None:
    """The change's ID follows from the control job's."""
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.enqueue(change(), job_id="c1.change")
        job = await as_arq_app(valkey).enqueue_job("submit", msgspec.to_builtins(change()), _job_id="c1")

        assert await finished(rig, job) == {"jobId": "c1.change", "alreadyThere": True}
        assert rig.values_seen() == ["1"]


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


async def put(redis: ArqRedis, job_id: bytes, payload: bytes | None) -> None:
    """Write a control job as a foreign program may."""
    key = job_key_prefix.encode() + job_id
    if payload is not None:
        await redis.set(key, payload)
    await redis.zadd(keyspace.CONTROL_QUEUE, {job_id: 1})


def job_of(**changed: Any) -> bytes:
    """Return a control job with some fields changed."""
    return serialize({"t": None, "f": "submit", "a": [], "k": {}, "et": 1_000} | changed)


MALFORMED: dict[str, tuple[bytes, bytes | None]] = {
    "an ID that is no text": (b"\xff\xfe", job_of()),
    "no payload": (b"h", None),
    "no msgpack": (b"h", b"\xc1"),
    "pickle": (b"h", b"\x80\x04}q\x00."),
    "no map": (b"h", b"\x93\x01\x02\x03"),
    "nested deeply": (b"h", b"\x91" * 60_000 + b"\xc0"),
    "fields missing": (b"h", serialize({"f": "submit"})),
    "unknown function": (b"h", job_of(f="os.system")),
    "unhashable function": (b"h", job_of(f=["submit"])),
    "arguments that are none": (b"h", job_of(a=7)),
    "keywords that are none": (b"h", job_of(k=[1])),
    "unknown keywords": (b"h", job_of(k={"x": 1})),
    "a try that is text": (b"h", job_of(t="many")),
    "a time that is text": (b"h", job_of(et="now")),
    "a time beyond all years": (b"h", job_of(et=1e300)),
}


@pytest.mark.parametrize(("job_id", "payload"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_control_job_is_removed_and_the_worker_goes_on(
    valkey: ArqRedis, tmp_path: Path, job_id: bytes, payload: bytes | None
) -> None:
    """A change and a valid control job enqueued after it still end."""
    async with rig_on(valkey, tmp_path) as rig:
        await put(valkey, job_id, payload)
        changed = await rig.producer.enqueue(change())
        control = await as_arq_app(valkey).enqueue_job("submit", msgspec.to_builtins(change("1002")))

        await finished(rig, control)

        assert (await changed.result(timeout=0)).outcome is Outcome.APPLIED
        assert await valkey.zcard(keyspace.CONTROL_QUEUE) == 0


async def test_a_control_job_of_the_wrong_type_is_removed_and_the_worker_goes_on(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """Its key is a list where arq expects a string."""
    async with rig_on(valkey, tmp_path) as rig:
        await valkey.rpush(job_key_prefix + "h", "x")  # type: ignore[misc]
        await valkey.zadd(keyspace.CONTROL_QUEUE, {"h": 1})
        changed = await rig.producer.enqueue(change())

        await rig.drain()

        assert (await changed.result(timeout=0)).applied
        assert await valkey.exists(job_key_prefix + "h") == 0


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (lambda change: change | {"tradrId": "7"}, "tradrId: is no field"),
        (lambda change: change | {"settings": [change["settings"][0] | {"stopLosRatio": "20"}]}, "stopLosRatio"),
    ],
    ids=["of the change", "of a setting"],
)
async def test_a_submit_job_with_an_unknown_field_fails(
    valkey: ArqRedis, tmp_path: Path, typed: Callable[[dict[str, Any]], dict[str, Any]], expected: str
) -> None:
    """A misspelt field that is ignored would be reported as applied."""
    async with rig_on(valkey, tmp_path) as rig:
        control = await as_arq_app(valkey).enqueue_job("submit", typed(msgspec.to_builtins(change())))
        assert control is not None

        await rig.drain()

        info = await control.result_info()
        assert info is not None
        assert not info.success
        assert expected in str(info.result)


async def test_control_jobs_are_served_again_after_redis_failed_many_times_in_mid_start(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job counts as started before arq talks to Redis; a failure there must not cost a place for ever."""
    monkeypatch.setattr(lane_worker, "CONTROL_POLL_S", 0.01)
    valkey.job_serializer, valkey.job_deserializer = serialize, deserialize
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

        assert (await job.result(timeout=5, poll_delay=0.05))["jobId"] == "c1.change"
