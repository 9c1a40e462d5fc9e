"""A handle to one change, without await. See producers.client.job for what the methods do and raise."""

from __future__ import annotations

from dataclasses import dataclass, field

from redis import Redis

from producers.contract import keyspace
from producers.contract.messages import JobResult
from producers.errors import ResultTimeout
from producers.queue import jobs
from producers.queue.jobs import Cancellation, JobStatus
from producers.sync.performing import run_plan, wait_for


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
    _result_ttl_ms: int = field(kw_only=True, repr=False, compare=False)

    def result(self, timeout: float | None = None) -> JobResult:
        """How the change ended; waits for it, `timeout` seconds at the most."""
        result = wait_for(self._redis, keyspace.DONE + self.job_id, self._look, timeout)
        if result is None:
            raise ResultTimeout(f"change {self.job_id} has not ended within {timeout} s; it stays queued")
        return result

    def status(self) -> JobStatus:
        """Where the change is now."""
        return run_plan(self._redis, jobs.fetch_status(self.job_id), f"asking for the status of {self.job_id}")

    def cancel(self) -> Cancellation:
        """Takes the change back. One that is in flight ends by its reply."""
        plan = jobs.cancel_jobs([self.job_id], result_ttl_ms=self._result_ttl_ms)
        (verdict,) = run_plan(self._redis, plan, f"cancelling {self.job_id}")
        return verdict

    def _look(self) -> JobResult | None:
        return run_plan(self._redis, jobs.fetch_result(self.job_id), f"asking for the result of {self.job_id}")
