"""Control jobs: what arq's own queue serves beside the lanes."""

from __future__ import annotations

from typing import Any

import msgspec

from producers.contract import SettingsChange
from producers.errors import InvalidChange
from producers.producer import Producer

CHANGE_SUFFIX = ".change"


async def submit(ctx: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Puts a change into its lane, for apps that have only arq: `enqueue_job("submit", {...})`.

    Args:
        ctx: arq's context; `job_id` is the control job's.
        change: a SettingsChange in wire names.

    Returns:
        `{"jobId": ..., "alreadyThere": ...}`. The change's ID follows from the control job's, so that running it again
        adds nothing.

    Raises:
        InvalidChange: it is not a change, or breaks a rule.
    """
    producer: Producer = ctx["producer"]
    try:
        parsed = msgspec.convert(change, SettingsChange)
    except msgspec.ValidationError as exc:
        raise InvalidChange("change", str(exc), change) from exc
    job = await producer.enqueue(parsed, job_id=f"{ctx['job_id']}{CHANGE_SUFFIX}")
    return {"jobId": job.job_id, "alreadyThere": job.already_there}
