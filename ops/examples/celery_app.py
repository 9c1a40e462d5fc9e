"""Celery tasks that change copy-trade settings: one enqueues a change, the other fetches its result.

    CELERY_BROKER_URL=amqp://... CELERY_RESULT_BACKEND=rpc:// celery -A celery_app worker

    result = (change_settings.s(json_of_change) | fetch_result.s()).delay()
    result.get()["outcome"]

Changes of one user and trader are sent in the order in which `change_settings` runs. If two calls must keep an order,
put them into one chain.
"""

from __future__ import annotations

from typing import Any

import msgspec
from celery import Celery, Task

from producers import LaneFull, QueueUnavailable, ResultTimeout, read_change
from producers.sync import Producer

WAIT_S = 5.0
"""How long `fetch_result` holds a place of the worker before it gives it to other tasks."""

app = Celery("copytrade_settings")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)  # a task of a killed worker runs again

producer = Producer.connect()  # COPYTRADE_REDIS_DSN; it connects at its first call, so in each process of the pool


@app.task(
    bind=True,
    autoretry_for=(QueueUnavailable, LaneFull),
    retry_backoff=True,
    retry_backoff_max=60,
    max_retries=10,
)
def change_settings(self: Task, json_of_change: str) -> str:
    """Enqueue a change, and return its job ID.

    The ID comes from the task's, which stays the same when Celery runs the task again: then it finds its change there.

    Raises:
        InvalidChange: the change breaks a rule. The task fails at once, since trying again would not help.
    """
    job = producer.enqueue(read_change(json_of_change), job_id=f"celery.{self.request.id}")
    return job.job_id


@app.task(autoretry_for=(QueueUnavailable, ResultTimeout), default_retry_delay=5, max_retries=None)
def fetch_result(job_id: str) -> dict[str, Any]:
    """Return the result of a change. Every change has one in the end, at the latest `expired` at its deadline."""
    result: dict[str, Any] = msgspec.to_builtins(producer.job(job_id).result(timeout=WAIT_S))
    return result
