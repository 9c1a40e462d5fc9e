"""Control jobs: what arq's own queue serves beside the lanes."""

from __future__ import annotations

from typing import Any

import msgspec

from producers.client.producer import Producer
from producers.contract.messages import CopySetting, SettingsChange
from producers.errors import InvalidChange

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
    _refuse_unknown(change)
    try:
        parsed = msgspec.convert(change, SettingsChange)
    except msgspec.ValidationError as exc:
        raise InvalidChange("change", str(exc), change) from exc
    job = await producer.enqueue(parsed, job_id=f"{ctx['job_id']}{CHANGE_SUFFIX}")
    return {"jobId": job.job_id, "alreadyThere": job.already_there}


def _refuse_unknown(change: object) -> None:
    """A mistyped field would be left out in silence; stored changes may have fields of a newer version, these not."""
    if not isinstance(change, dict):
        return
    _refuse_others(change, SettingsChange, "")
    settings = change.get("settings")
    for index, setting in enumerate(settings if isinstance(settings, list) else ()):
        if isinstance(setting, dict):
            _refuse_others(setting, CopySetting, f"settings[{index}].")


def _refuse_others(given: dict[Any, Any], struct: type[msgspec.Struct], where: str) -> None:
    known = struct.__struct_encode_fields__
    for name, value in given.items():
        if name not in known:
            raise InvalidChange(f"{where}{name}", f"is no field; there are {', '.join(known)}", value)
