"""The producers' side: what may be asked of the queue, and how to ask it.

async with Producer.connect("redis://localhost:6379/0") as producer:
    job = await producer.enqueue(SettingsChange(user_id=..., trader_id=..., settings=[CopySetting(...)]))
    result = await job.result(timeout=30)
"""

from __future__ import annotations

# Handles to one change, to a batch, to what ended badly
from producers.batch import Batch, ResultStream
from producers.batches import ResultPage

# The messages
from producers.contract import Attempt, CopySetting, JobResult, Outcome, Priority, SettingsChange

# Steering
from producers.control import Pause
from producers.dead_letters import DeadLetters

# What can go wrong
from producers.errors import (
    BatchConflict,
    BatchNotFound,
    DeadLetterNotFound,
    InvalidChange,
    InvalidCursor,
    InvalidId,
    InvalidLimit,
    JobNotFound,
    LaneFull,
    ProducerError,
    QueueUnavailable,
    ResultTimeout,
    SettingsError,
)
from producers.fan_out import FanOutReport, Preview
from producers.job import Job
from producers.jobs import Cancellation, CancelReport, JobState, JobStatus
from producers.letters import DeadLetter
from producers.producer import Producer
from producers.progress import Progress
from producers.replaying import ReplayReport
from producers.reports import BatchRefused, EnqueueReport, Refusal
from producers.settings import ProducerSettings
from producers.users import LaneStatus, UserStatus

__all__ = [
    "Attempt",
    "Batch",
    "BatchConflict",
    "BatchNotFound",
    "BatchRefused",
    "CancelReport",
    "Cancellation",
    "CopySetting",
    "DeadLetter",
    "DeadLetterNotFound",
    "DeadLetters",
    "EnqueueReport",
    "FanOutReport",
    "InvalidChange",
    "InvalidCursor",
    "InvalidId",
    "InvalidLimit",
    "Job",
    "JobNotFound",
    "JobResult",
    "JobState",
    "JobStatus",
    "LaneFull",
    "LaneStatus",
    "Outcome",
    "Pause",
    "Preview",
    "Priority",
    "Producer",
    "ProducerError",
    "ProducerSettings",
    "Progress",
    "QueueUnavailable",
    "Refusal",
    "ReplayReport",
    "ResultPage",
    "ResultStream",
    "ResultTimeout",
    "SettingsChange",
    "SettingsError",
    "UserStatus",
]
