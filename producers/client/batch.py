"""The handle to one batch: progress, its stream of results, waiting, cancelling, retrying what failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from typing import Self, Unpack

from redis.asyncio import Redis

from producers.contract.messages import JobResult, Outcome
from producers.contract.progress import Progress
from producers.contract.validation import check_new_batch_id
from producers.errors import ResultTimeout
from producers.queue import batches
from producers.queue.cancel import CancelReport
from producers.queue.dead_letter_selection import RetryFilters, Selection
from producers.queue.fan_out import FanOutReport, member_job_id
from producers.queue.progress import fetch_progress
from producers.queue.replay import NextRetry, next_retry, retry_batch
from producers.queue.results import MAX_BLOCK_S, PAGE_SIZE, ResultCursor, ResultPage, parse_cursor, read_page
from producers.settings import ProducerSettings
from producers.tracing import open_tracing
from producers.transport.clients import keyspace_of
from producers.transport.commands import XREAD
from producers.transport.notifications import NotificationListener
from producers.transport.runner import run_blocking, run_plan
from producers.transport.waiting import wait_for


@dataclass(frozen=True, slots=True)
class Batch:
    """A handle to one batch. `Producer.fan_out` and `Producer.batch` return it.

    Attributes:
        batch_id: the batch's ID. Keep it to follow the batch later, from any process: `producer.batch(batch_id)`.
        report: which items were accepted or refused, if `fan_out` or `retry_failed` returned this handle.
    """

    batch_id: str
    report: FanOutReport | None = None
    _redis: Redis = field(kw_only=True, repr=False, compare=False)
    _notifications: NotificationListener = field(kw_only=True, repr=False, compare=False)
    _settings: ProducerSettings = field(kw_only=True, repr=False, compare=False)

    async def progress(self) -> Progress:
        """Return the batch's counters and an estimate of its end; one round trip, whatever the batch's size.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        return await run_plan(self._redis, fetch_progress(self.batch_id), f"reading batch {self.batch_id}")

    def results(self, after: str | None = None) -> ResultStream:
        """Iterate over the results in the order in which changes finish, until the batch is complete.

        Example:
            async for result in batch.results():
                print(result.user_id, result.outcome)

        Args:
            after: the `cursor` of an earlier stream or page; None starts at the first result.

        Raises:
            InvalidCursor: `after` is not a cursor of this batch.
        """
        return ResultStream(self, after, block_s=self._settings.redis_timeout_s / 2)

    async def page(
        self, after: str | None = None, limit: int = PAGE_SIZE, *, outcomes: Collection[Outcome] | None = None
    ) -> ResultPage:
        """Return the results that exist now, without waiting.

        Args:
            after: the `cursor` of an earlier page or stream; None starts at the first result.
            limit: how many results to look at; never more than 10,000.
            outcomes: return only results with one of these, of those that are looked at.

        Raises:
            InvalidCursor: `after` is not a cursor of this batch.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        plan = read_page(keyspace_of(self._redis), self.batch_id, after, limit, outcomes)
        return await run_plan(self._redis, plan, f"reading results of batch {self.batch_id}")

    async def job_id_of(self, user_id: str) -> str | None:
        """Return the job ID that a user's change has in a fan-out of one template.

        None if the batch has no template: its job IDs do not tell their users.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        plan = batches.has_template(keyspace_of(self._redis), self.batch_id)
        if await run_plan(self._redis, plan, f"reading batch {self.batch_id}"):
            return member_job_id(self.batch_id, user_id)
        return None

    async def wait(self, timeout: float | None = None) -> Progress:  # noqa: ASYNC109 - the name users expect
        """Wait until the batch is complete: every change has finished, and no more are added.

        Args:
            timeout: seconds to wait; None waits for ever, 0 does not wait.

        Raises:
            ResultTimeout: the batch is not complete in time; its changes stay queued.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        channel = keyspace_of(self._redis).batch_complete + self.batch_id
        progress = await wait_for(self._notifications, channel, self._progress_if_complete, timeout)
        if progress is None:
            raise ResultTimeout(f"batch {self.batch_id} is not complete within {timeout} s; it stays queued")
        return progress

    async def failures(self) -> AsyncIterator[JobResult]:
        """Iterate over the results that exist now and are not `applied`, without waiting.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        cursor, has_more = None, True
        while has_more:
            page = await self.page(cursor)
            for result in page.results:
                if not result.applied:
                    yield result
            cursor, has_more = page.cursor, not page.complete and page.cursor != cursor

    async def seal(self) -> None:
        """Close the batch to which `Producer.enqueue(batch_id=...)` added changes. It is complete when all have ended.

        A fan-out does so itself. Closing it again changes nothing.

        Raises:
            BatchConflict: the batch is a fan-out's, or was cancelled.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        keys, result_ttl_ms = keyspace_of(self._redis), self._settings.result_ttl_ms
        plan = batches.seal_appended(keys, self.batch_id, result_ttl_ms=result_ttl_ms)
        await run_plan(self._redis, plan, f"sealing batch {self.batch_id}")

    async def cancel(self) -> CancelReport:
        """Cancel the batch: its queued changes end `cancelled`, and no change can be added to it.

        At once, only changes that workers hold already are still sent. That all others have ended takes longer, since
        the call ends some thousands a second; a worker that comes to one first ends it as well.

        Returns:
            How many changes were cancelled, and how many were not because they were in flight; these end by the reply
            that is due, and are not attempted again.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        plan = batches.cancel_batch(keyspace_of(self._redis), self.batch_id, result_ttl_ms=self._settings.result_ttl_ms)
        return await run_plan(self._redis, plan, f"cancelling batch {self.batch_id}")

    async def next_retry(self, **filters: Unpack[RetryFilters]) -> NextRetry | None:
        """Return what `retry_failed` enqueues of these now, and as which batch; None if there are no such dead letters.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        plan = next_retry(keyspace_of(self._redis), self.batch_id, Selection(batch_id=self.batch_id, **filters))
        return await run_plan(self._redis, plan, f"reading the dead letters of batch {self.batch_id}")

    async def retry_failed(self, *, batch_id: str | None = None, **filters: Unpack[RetryFilters]) -> Batch:
        """Enqueue this batch's dead letters again, in their order, as a batch, which `Progress.retried_as` then names.

        Args:
            batch_id: the ID of the new batch; by default that of `next_retry`. A call that is repeated with its ID goes
                on where the call before ended, and returns the same batch.
            filters: `outcome`, `code` and `until_us` select some of the letters, as for `DeadLetters.replay`.

        Returns:
            The new batch. A call without an ID that failed half-way is completed by repeating it, unless more changes
            of this batch have failed meanwhile.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            DeadLetterNotFound: this batch has no such dead letters.
            BatchConflict: there is a batch of the new ID, which is another one.
            InvalidId: the new ID is not a valid one.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        new_id = None if batch_id is None else check_new_batch_id(batch_id)
        letters = Selection(batch_id=self.batch_id, **filters)
        with open_tracing(self._settings).send_many() as sending:
            plan = retry_batch(keyspace_of(self._redis), self.batch_id, letters, new_id, self._settings, sending)
            report = await run_plan(self._redis, plan, f"retrying the failed changes of batch {self.batch_id}")
        return replace(self, batch_id=report.batch_id, report=report)

    async def _progress_if_complete(self) -> Progress | None:
        progress = await self.progress()
        return progress if progress.complete else None


class ResultStream:
    """An iterator over a batch's results: each once, waiting for the next one until the batch is complete.

    Do not share a stream: each reader needs its own.
    """

    def __init__(self, batch: Batch, after: str | None, *, block_s: float) -> None:
        self._batch = batch
        self._block_ms = max(1, int(min(block_s, MAX_BLOCK_S) * 1000))
        self._cursor = ResultCursor(batch.batch_id, after)

    @property
    def malformed(self) -> int:
        """How many entries were left out so far, because they cannot be read."""
        return self._cursor.malformed

    @property
    def cursor(self) -> str:
        """The position after the last returned result. `batch.results(after=cursor)` continues there without a gap."""
        return self._cursor.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobResult:
        """Wait for the next result and return it.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; the stream can be continued.
        """
        while (result := self._cursor.pop()) is None:
            after = self._cursor.next_after
            if after is None:
                raise StopAsyncIteration
            if not self._cursor.load(await self._batch.page(after)):
                await self._wait_for_result(after)
        return result

    async def _wait_for_result(self, after: str) -> None:
        """Wait until there is a result after the cursor, or until one blocking read has timed out."""
        batch_id = self._batch.batch_id
        redis, position = self._batch._redis, parse_cursor(batch_id, after)  # noqa: SLF001 - one object to users
        stream = keyspace_of(redis).batch_results + batch_id
        read = XREAD("COUNT", 1, "BLOCK", self._block_ms, "STREAMS", stream, position)
        await run_blocking(redis, read, f"waiting for results of batch {batch_id}")
