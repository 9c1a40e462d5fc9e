"""Control jobs: the jobs in arq's own queue, which the worker runs beside the lanes."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from producers.client.producer import Producer
from producers.contract.keyspace import JOB
from producers.contract.messages import CopySetting, SettingsChange
from producers.errors import InvalidChange
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
    _reject_unknown_fields(change)
    try:
        parsed = msgspec.convert(change, SettingsChange)
    except msgspec.ValidationError as exc:
        raise InvalidChange("change", str(exc), change) from exc
    job = await producer.enqueue(parsed, job_id=f"{ctx['job_id']}{CHANGE_SUFFIX}")
    return {"jobId": job.job_id, "alreadyThere": job.already_there}


def _reject_unknown_fields(change: object) -> None:
    """Raise InvalidChange for a mistyped field name.

    SettingsChange itself ignores unknown fields, because a stored change may come from a newer version.
    """
    if not isinstance(change, dict):
        return
    _reject_others(change, SettingsChange, "")
    settings = change.get("settings")
    for index, setting in enumerate(settings if isinstance(settings, list) else ()):
        if isinstance(setting, dict):
            _reject_others(setting, CopySetting, f"settings[{index}].")


def _reject_others(fields: dict[Any, Any], struct: type[msgspec.Struct], where: str) -> None:
    known = struct.__struct_encode_fields__
    for name, value in fields.items():
        if name not in known:
            raise InvalidChange(f"{where}{name}", f"is no field; there are {', '.join(known)}", value)
