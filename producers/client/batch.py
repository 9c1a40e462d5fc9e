"""The handle to one batch: progress, its stream of results, waiting, cancelling, retrying what failed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Unpack

from producers.client import batch_parts
from producers.client.results import ResultReader, ResultStream
from producers.client.shard import Shard, run_where_found
from producers.contract.messages import JobResult, Outcome
from producers.contract.progress import Progress, merge_progress, partial_progress
from producers.contract.validation import check_new_batch_id
from producers.errors import BatchNotFound, ResultTimeout, ShardsUnavailable
from producers.queue import batches
from producers.queue.cancel import CancelReport
from producers.queue.dead_letter_selection import RetryFilters, Selection
from producers.queue.fan_out import FanOutReport, member_job_id
from producers.queue.progress import fetch_progress
from producers.queue.replay import NextRetry
from producers.queue.results import PAGE_SIZE, ResultPage
from producers.settings import ProducerSettings
from producers.transport.runner import run_plan
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
    _shards: Sequence[Shard] = field(kw_only=True, repr=False, compare=False)
    _settings: ProducerSettings = field(kw_only=True, repr=False, compare=False)

    async def progress(self) -> Progress:
        """Return the batch's counters and an estimate of its end; one round trip, whatever the batch's size.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer. A ShardsUnavailable has the progress in the other shards.
        """
        try:
            return merge_progress([part for _, part in await self._parts()])
        except ShardsUnavailable as exc:
            exc.partial = partial_progress([part for part in exc.answers if isinstance(part, Progress)])
            raise

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
        return ResultStream(self._reader, after, PAGE_SIZE, block_s=self._settings.redis_timeout_s / 2)

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
        return await self._reader.page(after, limit, outcomes)

    async def job_id_of(self, user_id: str) -> str | None:
        """Return the job ID that a user's change has in a fan-out of one template.

        None if the batch has no template: its job IDs do not tell their users.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        found = await run_where_found(
            self._shards,
            lambda shard: batches.has_template(shard.keys, self.batch_id),
            f"reading batch {self.batch_id}",
            BatchNotFound,
        )
        return member_job_id(self.batch_id, user_id) if any(has_template for _, has_template in found) else None

    async def wait(self, timeout: float | None = None) -> Progress:  # noqa: ASYNC109 - the name users expect
        """Wait until the batch is complete: every change has finished, and no more are added.

        Args:
            timeout: seconds to wait; None waits for ever, 0 does not wait.

        Raises:
            ResultTimeout: the batch is not complete in time; its changes stay queued.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        while True:
            shards = self._shards
            if len(shards) > 1:
                parts = await self._parts()
                progress = merge_progress([part for _, part in parts])
                if progress.complete:
                    return progress
                shards = [shard for shard, part in parts if not part.complete]
            part: Progress | None = None
            for shard in shards:
                left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
                poll = partial(self._part_if_complete, shard)
                part = await wait_for(shard.notifications, shard.keys.batch_complete + self.batch_id, poll, left_s)
                if part is None:
                    raise ResultTimeout(f"batch {self.batch_id} is not complete within {timeout} s; it stays queued")
            if part is not None and len(self._shards) == 1:
                return part

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
        await batch_parts.seal_appended(self._shards, self.batch_id, self._settings.result_ttl_ms)

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
        return await batch_parts.cancel(self._shards, self.batch_id, self._settings.result_ttl_ms)

    async def next_retry(self, **filters: Unpack[RetryFilters]) -> NextRetry | None:
        """Return what `retry_failed` enqueues of these now, and as which batch; None if there are no such dead letters.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        letters = Selection(batch_id=self.batch_id, **filters)
        return await batch_parts.next_retry(self._shards, letters, self.batch_id)

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
        report = await batch_parts.retry(self._shards, letters, self.batch_id, new_id, self._settings)
        return replace(self, batch_id=report.batch_id, report=report)

    @property
    def _reader(self) -> ResultReader:
        return ResultReader(self.batch_id, self._shards)

    async def _parts(self) -> list[tuple[Shard, Progress]]:
        """Return the progress of the batch's part in each shard that has one."""
        return await run_where_found(
            self._shards, lambda _: fetch_progress(self.batch_id), f"reading batch {self.batch_id}", BatchNotFound
        )

    async def _part_if_complete(self, shard: Shard) -> Progress | None:
        part = await run_plan(shard.redis, fetch_progress(self.batch_id), f"reading batch {self.batch_id}")
        return part if part.complete else None
