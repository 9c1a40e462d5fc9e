"""The submit script's wrapper: changes in, verdicts out. Builds its arguments and reads its reply; no I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers import keys
from producers.codec import encode_change
from producers.contract import SettingsChange
from producers.scripts import Argument, Script

SUBMIT = Script.load("producers", "submit.lua")
SUBMIT_KEYS = [keys.SCHEDULE, keys.BELL]

ALREADY_THERE = 0
LANE_FULL = -1


@dataclass(frozen=True, slots=True)
class Submission:
    """One change on its way into its lane."""

    job_id: str
    lane: str
    payload: bytes

    @classmethod
    def of(cls, change: SettingsChange, job_id: str, *, now_ms: int, ttl_ms: int) -> Submission:
        """The submission of a checked change."""
        payload = encode_change(change, enqueued_at_ms=now_ms, ttl_ms=ttl_ms)
        return cls(job_id, keys.lane(change.user_id, change.trader_id), payload)


def arguments(submissions: Sequence[Submission], lane_limit: int) -> list[Argument]:
    """ARGV of the submit script for a chunk."""
    args: list[Argument] = [keys.LANE, keys.JOB, keys.RESULT, keys.BUCKET, keys.ENDPOINT, lane_limit]
    for submission in submissions:
        args += (submission.lane, submission.job_id, submission.payload)
    return args
