"""The handle to one change: its result, its status, cancelling it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from redis.asyncio import Redis

from producers.contract.messages import JobResult
from producers.errors import ResultTimeout
from producers.logs import ClientEvent, log_fields
from producers.queue import jobs
from producers.queue.cancel import Cancellation, cancel_job
from producers.queue.job_details import JobDetails, fetch_details
from producers.queue.jobs import JobStatus
from producers.settings import ProducerSettings
from producers.transport.clients import keyspace_of
from producers.transport.notifications import NotificationListener
from producers.transport.runner import run_plan
from producers.transport.waiting import wait_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A handle to one change. `Producer.enqueue` and `Producer.job` return it.

    Attributes:
        job_id: the change's ID. Keep it to ask for the result later, from any process: `producer.job(job_id)`.
        already_there: True if `enqueue` found a change of this ID and added nothing.
    """

    job_id: str
    already_there: bool = False
    _redis: Redis = field(kw_only=True, repr=False, compare=False)
    _notifications: NotificationListener = field(kw_only=True, repr=False, compare=False)
    _settings: ProducerSettings = field(kw_only=True, repr=False, compare=False)

    async def result(self, timeout: float | None = None) -> JobResult:  # noqa: ASYNC109 - the name users expect
        """Wait for the change to finish, and return its result as soon as it is published.

        Args:
            timeout: seconds to wait; None waits for ever, 0 does not wait.

        Returns:
            The outcome with its attempts. Any outcome is returned: check `result.applied`.

        Raises:
            ResultTimeout: the change has not finished in time; it stays queued.
            JobNotFound: no change of this ID was accepted, or its result has expired; or the ID is that of another arq
                app's job.
            QueueUnavailable: Redis did not answer.
        """
        result = await wait_for(
            self._notifications, keyspace_of(self._redis).job_done + self.job_id, self._fetch_result, timeout
        )
        if result is None:
            within = f" within {timeout:g} s" if timeout else ""
            raise ResultTimeout(f"change {self.job_id} has not finished{within}; it stays queued")
        return result

    async def status(self) -> JobStatus:
        """Return whether the change is queued (and at which position), in flight, done or unknown.

        Raises:
            JobNotFound: the ID is that of another arq app's job.
            QueueUnavailable: Redis did not answer.
        """
        return await run_plan(
            self._redis, jobs.fetch_status(keyspace_of(self._redis), self.job_id), f"reading change {self.job_id}"
        )

    async def details(self) -> JobDetails:
        """Return all that is known of the change: its status, what it sets, its attempts so far, and its deadline.

        Raises:
            JobNotFound: the ID is that of another arq app's job.
            QueueUnavailable: Redis did not answer.
        """
        plan = fetch_details(keyspace_of(self._redis), self.job_id)
        return await run_plan(self._redis, plan, f"reading change {self.job_id}")

    async def cancel(self) -> Cancellation:
        """Cancel the change if it is queued; its outcome is then `cancelled`.

        Returns:
            What happened. A change in flight is not cancelled.

        Raises:
            JobNotFound: the ID is that of another arq app's job.
            QueueUnavailable: Redis did not answer; `status` shows whether the change was cancelled.
        """
        plan = cancel_job(keyspace_of(self._redis), self.job_id, result_ttl_ms=self._settings.result_ttl_ms)
        cancellation = await run_plan(self._redis, plan, f"cancelling change {self.job_id}")
        if cancellation is Cancellation.CANCELLED:
            log.debug("change %s is cancelled", self.job_id, extra=log_fields(ClientEvent.CANCELLED, job=self.job_id))
        return cancellation

    async def _fetch_result(self) -> JobResult | None:
        return await run_plan(
            self._redis, jobs.fetch_result(keyspace_of(self._redis), self.job_id), f"reading change {self.job_id}"
        )
