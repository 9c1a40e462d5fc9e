"""The producers' side: what may be asked of the queue, and how to ask it.

async with Producer.connect("redis://localhost:6379/0") as producer:
    job = await producer.enqueue(SettingsChange(user_id=..., trader_id=..., settings=[CopySetting(...)]))
    result = await job.result(timeout=30)
"""

from __future__ import annotations

# The messages
from producers.contract import Attempt, CopySetting, JobResult, Outcome, SettingsChange

# Asking, and what became of it
from producers.enqueue import EnqueueReport, Producer, Refusal

# What can go wrong
from producers.errors import (
    InvalidChange,
    InvalidId,
    JobNotFound,
    LaneFull,
    ProducerError,
    QueueUnavailable,
    ResultTimeout,
    SettingsError,
)
from producers.jobs import Job, JobState, JobStatus
from producers.settings import ProducerSettings

__all__ = [
    "Attempt",
    "CopySetting",
    "EnqueueReport",
    "InvalidChange",
    "InvalidId",
    "Job",
    "JobNotFound",
    "JobResult",
    "JobState",
    "JobStatus",
    "LaneFull",
    "Outcome",
    "Producer",
    "ProducerError",
    "ProducerSettings",
    "QueueUnavailable",
    "Refusal",
    "ResultTimeout",
    "SettingsChange",
    "SettingsError",
]
