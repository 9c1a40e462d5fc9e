"""Control jobs: the jobs in the worker's arq queue, which it runs beside the lanes."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from arq.cron import CronJob
from arq.jobs import serialize_result
from arq.utils import timestamp_ms
from arq.worker import Function, Retry
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from producers.client.producer import Producer
from producers.contract.codec import serialize
from producers.contract.messages import CHANGE_SUFFIX, Priority
from producers.contract.reader import change_from_wire
from producers.contract.validation import check_priority
from producers.errors import InvalidArgument, ProducerError, QueueUnavailable, abbreviated
from producers.settings import ProducerSettings
from producers.tracing import OFF, Tracing, open_tracing
from producers.transport.clients import keyspace_of
from producers.transport.shards import Shards
from worker.logs import Event, log_fields

SUBMIT_TRIES = 5
"""arq's own number of tries of a job."""

MAX_JOB_BYTES = 1024 * 1024
"""Maximum size of a control job. A change is far smaller, and large data does not belong in the queue."""

MAX_UNIX_MS = 253_402_300_799_000
"""The end of the year 9999: arq fails to load later times."""

WIRE_NAMES = {"ttl_s": "ttlS", "batch_id": "batchId", "job_id": "jobId"}
"""Of arguments, by their names in Python."""

EXPECTED = "expected arq's job format in msgpack, as by create_pool(job_serializer=msgspec.msgpack.encode)"

Functions = Mapping[str, Function | CronJob]


class ControlJob(msgspec.Struct, frozen=True):
    """A stored control job: arq's job format, with arq's field names.

    Attributes:
        f: the function's name.
        a: its arguments, without the context.
        k: its keyword arguments.
        et: enqueue time, Unix milliseconds.
        t: the try to start with, if the caller chose one.
    """

    f: str
    a: list[Any]
    k: dict[str, Any]
    et: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNIX_MS)]
    t: int | None = None


_decoder = msgspec.msgpack.Decoder(ControlJob)


def make_context(shards: Shards[Any]) -> dict[str, Any]:
    """Return what is put into the context of control jobs: a producer, and its tracing."""
    settings = ProducerSettings.from_env()
    return {"producer": Producer(shards, settings), "tracing": open_tracing(settings)}


async def submit(
    ctx: dict[str, Any],
    change: dict[str, Any],
    *,
    ttlS: float | None = None,  # noqa: N803 - a wire name
    priority: str | None = None,
    coalesce: bool | None = None,
    batchId: str | None = None,  # noqa: N803 - a wire name
    traceparent: str | None = None,
) -> dict[str, Any]:
    """Enqueue a change, for apps that have only arq: `enqueue_job("submit", {...}, ttlS=60, _queue_name=...)`.

    Args:
        ctx: arq's context; `job_id` is the control job's.
        change: a SettingsChange in wire names.
        ttlS: these four as for `Producer.enqueue`; None is the default of each.
        priority: see there.
        coalesce: see there.
        batchId: see there.
        traceparent: the trace context of the caller (W3C Trace Context), whose trace the change is then a part of.

    Returns:
        `{"jobId": ..., "alreadyThere": ...}`. The change's ID is derived from the control job's, so that running it
        again adds nothing.

    Raises:
        InvalidChange: `change` is not a valid change.
        ProducerError: see `Producer.enqueue`; nothing was written.
        Retry: Redis did not answer. arq runs the job again; the change's ID makes that safe.
    """
    tracing: Tracing = ctx.get("tracing", OFF)
    headers = [(b"traceparent", traceparent.encode())] if isinstance(traceparent, str) else []
    with tracing.continued(headers), _translate_errors(ctx):
        job = await _producer(ctx).enqueue(
            change_from_wire(change),
            job_id=f"{ctx['job_id']}{CHANGE_SUFFIX}",
            ttl_s=ttlS,
            priority=Priority.INTERACTIVE if priority is None else check_priority(priority),
            coalesce=False if coalesce is None else coalesce,
            batch_id=batchId,
        )
    return {"jobId": job.job_id, "alreadyThere": job.already_there}


async def seal_batch(ctx: dict[str, Any], batchId: str) -> dict[str, Any]:  # noqa: N803 - a wire name
    """Close the batch to which `submit` added changes: it is complete when all of them have ended.

    Returns:
        `{"batchId": ...}`.

    Raises:
        ProducerError: see `Batch.seal`; nothing was changed.
        Retry: Redis did not answer. arq runs the job again.
    """
    with _translate_errors(ctx):
        await _producer(ctx).batch(batchId).seal()
    return {"batchId": batchId}


def _producer(ctx: dict[str, Any]) -> Producer:
    producer: Producer = ctx["producer"]
    return producer


@contextmanager
def _translate_errors(ctx: dict[str, Any]) -> Iterator[None]:
    """Ask arq for another try when Redis does not answer, and name arguments as they are on the wire."""
    try:
        yield
    except QueueUnavailable as exc:
        if ctx["job_try"] >= SUBMIT_TRIES:
            raise
        raise Retry(defer=ctx["job_try"]) from exc  # s
    except InvalidArgument as exc:
        raise type(exc)(WIRE_NAMES.get(exc.argument, exc.argument), exc.rule, exc.value) from exc


async def read_fault(redis: Redis, job_id: str, functions: Functions) -> str | None:
    """Return why a control job cannot be run; None if it can, or if it has expired, which arq reports itself."""
    try:
        payload = await redis.getrange(keyspace_of(redis).job + job_id, 0, MAX_JOB_BYTES)
    except ResponseError as exc:  # its key is not a string
        return f"its payload cannot be read: {exc}"
    return find_fault(payload, functions) if payload else None


def find_fault(payload: bytes, functions: Functions) -> str | None:
    """Return why the payload of a control job cannot be run: what was expected, and what is there; None if it can."""
    if len(payload) > MAX_JOB_BYTES:
        return f"its payload is larger than {MAX_JOB_BYTES} bytes"
    try:
        job = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        return f"{EXPECTED}; the payload is {_other_format(payload) or f'malformed: {exc}'}"
    function = functions.get(job.f)
    if function is None:
        return f"expected the function {' or '.join(functions)}; got {abbreviated(job.f)}"
    signature = inspect.signature(function.coroutine)
    try:
        signature.bind(None, *job.a, **job.k)
    except TypeError as exc:
        _, *parameters = signature.parameters
        return f"expected {job.f}({', '.join(parameters)}); {exc}"
    return None


def _other_format(payload: bytes) -> str | None:
    if payload.startswith(b"{"):
        return "JSON"
    if payload[:1] == b"\x80" and payload[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):  # PROTO, and its argument
        return "pickle, which is never loaded"
    return None


def failed_result(job_id: str, reason: str, queue: str) -> bytes | None:
    """Return the result, in arq's format, of a control job that was not run."""
    now_ms = timestamp_ms()
    return serialize_result(
        function="",
        args=(),
        kwargs={},
        job_try=1,
        enqueue_time_ms=now_ms,
        success=False,
        result=reason,
        start_ms=now_ms,
        finished_ms=now_ms,
        ref=job_id,
        queue_name=queue,
        job_id=job_id,
        serializer=serialize,
    )


def shorten_log_record(record: logging.LogRecord) -> bool:
    """Log a control job that ended by a ProducerError in one line. A filter: arq logs a traceback for any exception."""
    if record.exc_info and isinstance(record.exc_info[1], ProducerError):
        record.exc_info = None
        job = str(record.args[1]).rpartition(":")[0] if isinstance(record.args, tuple) else None  # "<ID>:<function>"
        vars(record).update(log_fields(Event.CONTROL_JOB_FAILED, job=job))
    return True
