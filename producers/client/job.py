"""The handle to one change: its result, its status, cancelling it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from producers.client.shard import Shard, run_until_found
from producers.contract.messages import JobResult
from producers.errors import JobNotFound, ResultTimeout
from producers.logs import ClientEvent, log_fields
from producers.queue import jobs
from producers.queue.cancel import Cancellation, cancel_job
from producers.queue.job_details import JobDetails, fetch_details
from producers.queue.jobs import JobState, JobStatus
from producers.settings import ProducerSettings
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
    _shards: Sequence[Shard] = field(kw_only=True, repr=False, compare=False)
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
        shard = await self._find_shard()
        poll = partial(self._fetch_result, shard)
        result = await wait_for(shard.notifications, shard.keys.job_done + self.job_id, poll, timeout)
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
        _, status = await run_until_found(
            self._shards,
            lambda shard: jobs.fetch_status(shard.keys, self.job_id),
            f"reading change {self.job_id}",
            JobNotFound,
            lambda status: status.state is not JobState.NOT_FOUND,
        )
        return status

    async def details(self) -> JobDetails:
        """Return all that is known of the change: its status, what it sets, its attempts so far, and its deadline.

        Raises:
            JobNotFound: the ID is that of another arq app's job.
            QueueUnavailable: Redis did not answer.
        """
        _, details = await run_until_found(
            self._shards,
            lambda shard: fetch_details(shard.keys, self.job_id),
            f"reading change {self.job_id}",
            JobNotFound,
            lambda details: details.status.state is not JobState.NOT_FOUND,
        )
        return details

    async def cancel(self) -> Cancellation:
        """Cancel the change if it is queued; its outcome is then `cancelled`.

        Returns:
            What happened. A change in flight is not cancelled.

        Raises:
            JobNotFound: the ID is that of another arq app's job.
            QueueUnavailable: Redis did not answer; `status` shows whether the change was cancelled.
        """
        _, cancellation = await run_until_found(
            self._shards,
            lambda shard: cancel_job(shard.keys, self.job_id, result_ttl_ms=self._settings.result_ttl_ms),
            f"cancelling change {self.job_id}",
            JobNotFound,
            lambda cancellation: cancellation is not Cancellation.NOT_FOUND,
        )
        if cancellation is Cancellation.CANCELLED:
            log.debug("change %s is cancelled", self.job_id, extra=log_fields(ClientEvent.CANCELLED, job=self.job_id))
        return cancellation

    async def _find_shard(self) -> Shard:
        """Return the shard that has the change: one that was found by its ID may be in any."""
        if len(self._shards) == 1:
            return self._shards[0]
        shard, _ = await run_until_found(
            self._shards,
            lambda shard: jobs.fetch_result(shard.keys, self.job_id),
            f"reading change {self.job_id}",
            JobNotFound,
        )
        return shard

    async def _fetch_result(self, shard: Shard) -> JobResult | None:
        return await run_plan(shard.redis, jobs.fetch_result(shard.keys, self.job_id), f"reading change {self.job_id}")
