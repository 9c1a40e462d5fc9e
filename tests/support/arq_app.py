"""An app that has only arq: it enqueues control jobs in msgpack, and reads their results with arq's `Job`."""

from __future__ import annotations

from typing import Any

from arq.connections import ArqRedis
from arq.jobs import Job

from producers.contract import keyspace
from producers.contract.codec import deserialize, serialize
from tests.support.workers import Rig


def as_arq_app(redis: ArqRedis) -> ArqRedis:
    """Return the client with msgpack and the control queue."""
    redis.job_serializer, redis.job_deserializer = serialize, deserialize
    redis.default_queue_name = keyspace.CONTROL_QUEUE
    return redis


async def answer(rig: Rig, job: Job | None) -> Any:
    """Run a worker until nothing is queued; return the job's result, or raise what it failed with."""
    assert job is not None
    await rig.drain()
    read = Job(job.job_id, rig.redis, keyspace.CONTROL_QUEUE, deserialize)
    return await read.result(timeout=30, poll_delay=0.01)
