"""The synchronous client, for Django, Flask and scripts: `producers` without await, on the same queue.

with Producer.connect("redis://localhost:6379/0") as producer:
    job = producer.enqueue(SettingsChange(user_id=..., trader_id=..., settings=[CopySetting(...)]))
    result = job.result(timeout=30)

Messages, reports and errors are those of `producers`. Threads can share a producer. All modules but `transport` and
`doctor` are generated from `producers.client` by `python -m ops.unasync`.
"""

from __future__ import annotations

from producers.queue.chunking import EnqueueReport
from producers.sync.batch import Batch
from producers.sync.dead_letter_listing import DeadLetterListing
from producers.sync.dead_letters import DeadLetters
from producers.sync.doctor import diagnose
from producers.sync.job import Job
from producers.sync.producer import Producer
from producers.sync.results import ResultStream

__all__ = ["Batch", "DeadLetterListing", "DeadLetters", "EnqueueReport", "Job", "Producer", "ResultStream", "diagnose"]
