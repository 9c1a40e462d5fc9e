"""taskiq with its Redis stream broker, which has no limit of its own: what the exchange refuses is retried.

By its documentation ("Available middlewares", "Smart retry middleware"; README of taskiq-redis), `SmartRetryMiddleware`
retries failed tasks after a delay by way of a schedule source, here `ListRedisScheduleSource`, and of a scheduler,
which looks once a second at most. It runs within the worker ("Scheduling tasks", "Running scheduler from code"), told
to look for new schedules as often as it can. Jobs are enqueued one after another.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from protocol import REDIS_URL, Change, run
from taskiq import Context, SmartRetryMiddleware, TaskiqDepends, TaskiqEvents, TaskiqScheduler, TaskiqState
from taskiq.api import run_scheduler_task
from taskiq_jobs import LOOP_FACTORY, TaskiqQueue, broker
from taskiq_redis import ListRedisScheduleSource
from throttled import MAX_TRIES, RETRY_S, ThrottledError, apply_or_raise

LOOK_INTERVAL = timedelta(seconds=1)

schedules = ListRedisScheduleSource(REDIS_URL)
broker.add_middlewares(
    SmartRetryMiddleware(
        default_retry_count=MAX_TRIES,
        default_delay=RETRY_S,
        schedule_source=schedules,
        types_of_exceptions=[ThrottledError],
    )
)


@broker.task(task_name="apply_limited", retry_on_error=True)
async def apply(change: Change, context: Annotated[Context, TaskiqDepends()]) -> dict[str, Any]:
    """Do the job; fail if it was refused."""
    return await apply_or_raise(context.state.exchange, change)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start_scheduler(state: TaskiqState) -> None:
    """Run the scheduler for the worker's life."""
    scheduler = TaskiqScheduler(broker, [schedules])
    state.scheduler = asyncio.create_task(
        run_scheduler_task(scheduler, interval=LOOK_INTERVAL, loop_interval=LOOK_INTERVAL)
    )


class LimitedTaskiqQueue(TaskiqQueue):
    """The queue of taskiq, with retries."""

    broker_name = "taskiq_limited:broker"

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue one change after another."""
        for change in changes:
            await apply.kiq(change)


if __name__ == "__main__":
    run(LimitedTaskiqQueue(), LOOP_FACTORY)
