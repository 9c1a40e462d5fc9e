"""Enqueue copy-trade settings changes, and read their results.

async with Producer.connect("redis://localhost:6379/0") as producer:
    job = await producer.enqueue(SettingsChange(user_id=..., trader_id=..., settings=[CopySetting(...)]))
    result = await job.result(timeout=30)
"""

from __future__ import annotations

from producers.client.batch import Batch
from producers.client.dead_letter_listing import DeadLetterListing
from producers.client.dead_letters import DeadLetters
from producers.client.job import Job
from producers.client.producer import Producer
from producers.client.results import ResultStream
from producers.contract.messages import Attempt, CopySetting, JobResult, Outcome, Priority, SettingsChange
from producers.contract.progress import Progress
from producers.contract.reader import read_change, read_changes
from producers.contract.stored_values import Listing
from producers.contract.waits import Wait, WaitReason
from producers.errors import (
    BatchConflict,
    BatchNotFound,
    BatchRefused,
    ChangeConflict,
    DeadLetterNotFound,
    InvalidArgument,
    InvalidChange,
    InvalidCursor,
    InvalidId,
    InvalidLimit,
    JobNotFound,
    LaneFull,
    LayoutMismatch,
    MalformedChange,
    MigrationRefused,
    ProducerError,
    QueueFull,
    QueueUnavailable,
    Refusal,
    ReplayRefused,
    ResultTimeout,
    SettingsError,
    ShardsUnavailable,
    WrongEventLoop,
)
from producers.monitor.checks import Check, CheckStatus
from producers.monitor.doctor import diagnose
from producers.monitor.overview_types import Overview
from producers.queue.cancel import Cancellation, CancelReport
from producers.queue.chunking import EnqueueReport
from producers.queue.dead_letter_pages import DeadLetterGroup, DeadLetterGrouping, DeadLetterGroups, DeadLetterPage
from producers.queue.dead_letters import DeadLetter
from producers.queue.fan_out import FanOutReport, Preview
from producers.queue.forget import ForgetReport
from producers.queue.job_details import JobDetails
from producers.queue.jobs import JobState, JobStatus
from producers.queue.pauses import Pause
from producers.queue.pins import Pin, PinPage
from producers.queue.resubmission import ReplayReport
from producers.queue.results import ResultPage
from producers.queue.trader_status import TraderStatus
from producers.queue.user_status import BucketStatus, LaneStatus, UserStatus
from producers.settings import ProducerSettings

__all__ = [
    "Attempt",
    "Batch",
    "BatchConflict",
    "BatchNotFound",
    "BatchRefused",
    "BucketStatus",
    "CancelReport",
    "Cancellation",
    "ChangeConflict",
    "Check",
    "CheckStatus",
    "CopySetting",
    "DeadLetter",
    "DeadLetterGroup",
    "DeadLetterGrouping",
    "DeadLetterGroups",
    "DeadLetterListing",
    "DeadLetterNotFound",
    "DeadLetterPage",
    "DeadLetters",
    "EnqueueReport",
    "FanOutReport",
    "ForgetReport",
    "InvalidArgument",
    "InvalidChange",
    "InvalidCursor",
    "InvalidId",
    "InvalidLimit",
    "Job",
    "JobDetails",
    "JobNotFound",
    "JobResult",
    "JobState",
    "JobStatus",
    "LaneFull",
    "LaneStatus",
    "LayoutMismatch",
    "Listing",
    "MalformedChange",
    "MigrationRefused",
    "Outcome",
    "Overview",
    "Pause",
    "Pin",
    "PinPage",
    "Preview",
    "Priority",
    "Producer",
    "ProducerError",
    "ProducerSettings",
    "Progress",
    "QueueFull",
    "QueueUnavailable",
    "Refusal",
    "ReplayRefused",
    "ReplayReport",
    "ResultPage",
    "ResultStream",
    "ResultTimeout",
    "SettingsChange",
    "SettingsError",
    "ShardsUnavailable",
    "TraderStatus",
    "UserStatus",
    "Wait",
    "WaitReason",
    "WrongEventLoop",
    "diagnose",
    "read_change",
    "read_changes",
]
