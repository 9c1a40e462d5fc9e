"""A handle to one change: its result, its status, taking it back."""

from __future__ import annotations

from dataclasses import dataclass, field

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.contract.messages import JobResult
from producers.errors import ResultTimeout
from producers.queue import jobs
from producers.queue.jobs import Cancellation, JobStatus
from producers.transport.notifications import NotificationListener
from producers.transport.runner import run_plan
from producers.transport.waiting import wait_for


@dataclass(frozen=True, slots=True)
class Job:
    """A handle to one change.

    Attributes:
        job_id: the change's ID.
        already_there: whether enqueueing found this ID already accepted, and so added nothing.
    """

    job_id: str
    already_there: bool = False
    _redis: Redis = field(kw_only=True, repr=False, compare=False)
    _notifications: NotificationListener = field(kw_only=True, repr=False, compare=False)
    _result_ttl_ms: int = field(kw_only=True, repr=False, compare=False)

    async def result(self, timeout: float | None = None) -> JobResult:  # noqa: ASYNC109 - the name users expect
        """How the change ended; waits for it. Whoever waits is told at once.

        Args:
            timeout: seconds to wait; None waits for ever, 0 only looks.

        Raises:
            ResultTimeout: it has not ended by then; it stays queued.
            JobNotFound: it was never accepted, or its result has expired.
            QueueUnavailable: Redis did not answer.
        """
        result = await wait_for(self._notifications, keyspace.DONE + self.job_id, self._look, timeout)
        if result is None:
            raise ResultTimeout(f"change {self.job_id} has not ended within {timeout} s; it stays queued")
        return result

    async def status(self) -> JobStatus:
        """Where the change is now.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return await run_plan(self._redis, jobs.fetch_status(self.job_id), f"asking for the status of {self.job_id}")

    async def cancel(self) -> Cancellation:
        """Takes the change back. One that is in flight ends by its reply.

        Raises:
            QueueUnavailable: Redis did not answer; whether it was taken back shows when it is asked again.
        """
        plan = jobs.cancel_jobs([self.job_id], result_ttl_ms=self._result_ttl_ms)
        (verdict,) = await run_plan(self._redis, plan, f"cancelling {self.job_id}")
        return verdict

    async def _look(self) -> JobResult | None:
        return await run_plan(self._redis, jobs.fetch_result(self.job_id), f"asking for the result of {self.job_id}")
