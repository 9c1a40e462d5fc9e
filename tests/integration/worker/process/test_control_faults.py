"""Control jobs that cannot be run: each ends with its reason as its result, in one log line, and the worker goes on."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.jobs import SerializationError

from ops.keys import KEYS
from producers import Outcome
from producers.contract import keyspace
from producers.contract.codec import serialize
from producers.logs import ATTRIBUTE
from tests.support.arq_app import answer, as_arq_app
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.logs import Event

pytestmark = ARQ_CLOSES_OLD_STYLE

WIRE: dict[str, Any] = msgspec.to_builtins(change())
SUBMIT_IS = "expected submit(change, ttlS, priority, coalesce, batchId, traceparent);"
NO_MSGPACK = "expected arq's job format in msgpack, as by create_pool"


def job_of(**changed: Any) -> bytes:
    """Return a control job with some fields changed."""
    return serialize({"t": None, "f": "submit", "a": [WIRE], "k": {}, "et": 1_000} | changed)


FAULTS: dict[str, tuple[bytes, str]] = {
    "no msgpack": (b"\xc1", NO_MSGPACK),
    "pickle": (pickle.dumps({"f": "submit"}), "the payload is pickle, which is never loaded"),
    "JSON": (b'{"t": null, "f": "submit", "a": [], "k": {}, "et": 1}', "the payload is JSON"),
    "no map": (b"\x93\x01\x02\x03", NO_MSGPACK),
    "nested deeply": (b"\x91" * 60_000 + b"\xc0", NO_MSGPACK),
    "too large": (b"x" * (1024 * 1024 + 1), "its payload is larger than 1048576 bytes"),
    "fields missing": (serialize({"f": "submit"}), "missing required field `a`"),
    "unknown function": (job_of(f="os.system"), "expected the function submit or seal_batch; got 'os.system'"),
    "unhashable function": (job_of(f=["submit"]), "Expected `str`, got `array` - at `$.f`"),
    "arguments that are none": (job_of(a=7), "Expected `array`, got `int` - at `$.a`"),
    "keywords that are none": (job_of(k=[1]), "Expected `object`, got `array` - at `$.k`"),
    "no argument": (job_of(a=[]), f"{SUBMIT_IS} missing a required argument: 'change'"),
    "two arguments": (job_of(a=[WIRE, WIRE]), f"{SUBMIT_IS} too many positional arguments"),
    "unknown keywords": (job_of(k={"x": 1}), f"{SUBMIT_IS} got an unexpected keyword argument 'x'"),
    "a try that is text": (job_of(t="many"), "Expected `int | null`, got `str` - at `$.t`"),
    "a time that is text": (job_of(et="now"), "Expected `int`, got `str` - at `$.et`"),
    "a time beyond all years": (job_of(et=10**16), "Expected `int` <= 253402300799000 - at `$.et`"),
    "a number": (job_of(a=[7]), "InvalidChange: change: must be an object with the fields userId"),
    "null": (job_of(a=[None]), "InvalidChange: change: must be an object"),
    "no fields": (job_of(a=[{}]), "InvalidChange: userId: is missing"),
    "a bad value": (job_of(a=[WIRE | {"settings": []}]), "InvalidChange: settings: must be a list of 1 to 10 settings"),
    "an unknown field": (
        job_of(a=[WIRE | {"tradrId": "7"}]),
        "InvalidChange: tradrId: is not a field; did you mean traderId",
    ),
    "a TTL of nothing": (job_of(k={"ttlS": 0}), "InvalidArgument: ttlS: must be above 0 and at most 315360000 seconds"),
    "a TTL that is text": (job_of(k={"ttlS": "60"}), "InvalidArgument: ttlS: must be above 0"),
    "a TTL that is a switch": (job_of(k={"ttlS": True}), "InvalidArgument: ttlS: must be above 0"),
    "an unknown priority": (
        job_of(k={"priority": "urgent"}),
        "InvalidArgument: priority: must be interactive or bulk; got 'urgent'",
    ),
    "a switch that is a number": (job_of(k={"coalesce": 1}), "InvalidArgument: coalesce: must be true or false; got 1"),
    "a batch ID with a slash": (job_of(k={"batchId": "a/b"}), "InvalidId: batchId: must be 1 to 64 printable"),
    "a batch that was never begun": (
        job_of(f="seal_batch", a=["none"]),
        "BatchNotFound: no batch none: it was never begun, or has expired",
    ),
}
"""What an app may have put into the queue, and the reason that it reads."""


@pytest.mark.parametrize(("payload", "reason"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_control_job_that_cannot_be_run_ends_with_the_reason_as_its_result(
    valkey: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture, payload: bytes, reason: str
) -> None:
    """The `result` of arq raises it; the log has it in one line without a traceback; nothing of the job is left."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await as_arq_app(valkey).enqueue_job("submit", _job_id="h")
        await valkey.set(job_key_prefix + "h", payload)

        with caplog.at_level(logging.WARNING), pytest.raises(SerializationError) as raised:
            await answer(rig, job)

        assert reason in str(raised.value)
        (line,) = [line for line in caplog.records if line.name.startswith(("arq", "worker.process.control"))]
        assert (line.exc_info, getattr(line, ATTRIBUTE)[0]) == (None, Event.CONTROL_JOB_FAILED)
        assert reason in line.getMessage()
        assert not await valkey.exists(
            KEYS.schedule, *(prefix + "h" for prefix in (job_key_prefix, in_progress_key_prefix, retry_key_prefix))
        )


@pytest.mark.parametrize(("job_id", "payload"), [(b"\xff\xfe", job_of()), (b"h", None)], ids=["no text", "no payload"])
async def test_a_control_job_without_a_usable_id_or_payload_is_removed_and_others_go_on(
    valkey: ArqRedis, tmp_path: Path, job_id: bytes, payload: bytes | None
) -> None:
    """A change and a valid control job enqueued after it still end."""
    async with rig_on(valkey, tmp_path) as rig:
        if payload is not None:
            await valkey.set(job_key_prefix.encode() + job_id, payload)
        await valkey.zadd(keyspace.CONTROL_QUEUE, {job_id: 1})
        changed = await rig.producer.enqueue(change())
        control = await as_arq_app(valkey).enqueue_job("submit", msgspec.to_builtins(change("1002")))

        assert not (await answer(rig, control))["alreadyThere"]

        assert (await changed.result(timeout=0)).outcome is Outcome.APPLIED
        assert await valkey.zcard(keyspace.CONTROL_QUEUE) == 0


async def test_a_control_job_of_the_wrong_type_ends_with_the_reason_as_its_result(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """Its key is a list where arq expects a string."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await as_arq_app(valkey).enqueue_job("submit", _job_id="h")
        await valkey.delete(job_key_prefix + "h")
        await valkey.rpush(job_key_prefix + "h", "x")  # type: ignore[misc]
        changed = await rig.producer.enqueue(change())

        with pytest.raises(SerializationError, match="its payload cannot be read: WRONGTYPE"):
            await answer(rig, job)

        assert (await changed.result(timeout=0)).applied
        assert await valkey.exists(job_key_prefix + "h") == 0


async def test_the_default_queue_of_arq_and_its_jobs_are_left_alone(valkey: ArqRedis, tmp_path: Path) -> None:
    """Jobs, aborts and the health key of another app are as they were; so is a `submit` on that queue."""
    theirs = {"arq:job:a": job_of(f="send_mail"), "arq:in-progress:a": b"1", "arq:queue:health-check": b"ok"}
    await valkey.mset(theirs)
    await valkey.zadd("arq:queue", {"a": 1, "b": 1})
    await valkey.zadd("arq:abort", {"a": 1})
    async with rig_on(valkey, tmp_path) as rig:
        changed = await rig.producer.enqueue(change())

        await rig.drain()

        assert (await changed.result(timeout=0)).applied
    assert await valkey.mget(*theirs) == list(theirs.values())
    assert await valkey.zrange("arq:queue", 0, -1) == [b"a", b"b"]
    assert await valkey.zrange("arq:abort", 0, -1) == [b"a"]
