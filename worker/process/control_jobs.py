"""Control jobs: the jobs in arq's own queue, which the worker runs beside the lanes."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from producers.client.producer import Producer
from producers.contract.keyspace import JOB
from producers.contract.reader import change_from_wire
from producers.settings import ProducerSettings

CHANGE_SUFFIX = ".change"

MAX_JOB_BYTES = 1024 * 1024
"""Maximum size of a control job. A change is far smaller, and large data does not belong in the queue."""


def make_producer(redis: Redis) -> Producer:
    """Return the producer that is put into the context of control jobs."""
    return Producer(redis, ProducerSettings.from_env())


async def start_problem(redis: Redis, job_id: bytes) -> str | None:
    """Return why arq must not start a control job; None if it may."""
    try:
        size = await redis.strlen(JOB + job_id.decode())
    except UnicodeDecodeError:
        return "its ID is not UTF-8"
    except ResponseError:  # not a string: arq fails to load it, and `LaneWorker.run_job` removes it
        return None
    return f"it is larger than {MAX_JOB_BYTES} bytes" if size > MAX_JOB_BYTES else None


async def submit(ctx: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Enqueue a change, for apps that have only arq: `enqueue_job("submit", {...})`.

    Args:
        ctx: arq's context; `job_id` is the control job's.
        change: a SettingsChange in wire names.

    Returns:
        `{"jobId": ..., "alreadyThere": ...}`. The change's ID is derived from the control job's, so that running it
        again adds nothing.

    Raises:
        InvalidChange: `change` is not a valid change.
    """
    producer: Producer = ctx["producer"]
    job = await producer.enqueue(change_from_wire(change), job_id=f"{ctx['job_id']}{CHANGE_SUFFIX}")
    return {"jobId": job.job_id, "alreadyThere": job.already_there}
