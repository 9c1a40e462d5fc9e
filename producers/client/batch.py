"""A handle to one batch: progress, the stream of its results, waiting, taking it back, sending its failures again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Self

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.contract.messages import JobResult
from producers.contract.progress import Progress
from producers.errors import ResultTimeout
from producers.queue import batches
from producers.queue.batches import MAX_BLOCK_S, PAGE_SIZE, ResultCursor, ResultPage, parse_cursor
from producers.queue.fan_out import FanOutReport
from producers.queue.jobs import CancelReport
from producers.queue.progress import fetch_progress
from producers.queue.replay import retry_batch
from producers.settings import ProducerSettings
from producers.transport.notifications import NotificationListener
from producers.transport.plan import Transaction
from producers.transport.runner import execute, run_plan, translate_errors
from producers.transport.waiting import wait_for


@dataclass(frozen=True, slots=True)
class Batch:
    """A handle to one batch.

    Attributes:
        batch_id: the batch.
        report: what became of the items, if this came from a fan-out.
    """

    batch_id: str
    report: FanOutReport | None = None
    _redis: Redis = field(kw_only=True, repr=False, compare=False)
    _notifications: NotificationListener = field(kw_only=True, repr=False, compare=False)
    _settings: ProducerSettings = field(kw_only=True, repr=False, compare=False)

    async def progress(self) -> Progress:
        """Where the batch is; one round trip, whatever its size.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        return await run_plan(self._redis, fetch_progress(self.batch_id), f"asking for batch {self.batch_id}")

    def results(self, after: str | None = None) -> ResultStream:
        """The results, in the order in which they are settled, from a position on, until the batch is complete.

        Args:
            after: `cursor` of an earlier stream or page; None for the beginning.

        Raises:
            InvalidCursor: `after` is no position in this batch's results.
        """
        return ResultStream(self, after, block_s=self._settings.redis_timeout_s / 2)

    async def page(self, after: str | None = None, limit: int = PAGE_SIZE) -> ResultPage:
        """Those results that are there by now; does not wait.

        Args:
            after: `cursor` of an earlier page or stream; None for the beginning.
            limit: how many at the most; 10,000 whatever it says.

        Raises:
            InvalidCursor: `after` is no position in this batch's results.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        plan = batches.read_page(self.batch_id, after, limit)
        return await run_plan(self._redis, plan, f"reading results of batch {self.batch_id}")

    async def wait(self, timeout: float | None = None) -> Progress:  # noqa: ASYNC109 - the name users expect
        """Waits until the batch is complete.

        Args:
            timeout: seconds to wait; None waits for ever, 0 only looks.

        Raises:
            ResultTimeout: it is not complete by then; it stays queued.
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        progress = await wait_for(self._notifications, keyspace.COMPLETE + self.batch_id, self._look, timeout)
        if progress is None:
            raise ResultTimeout(f"batch {self.batch_id} is not complete within {timeout} s; it stays queued")
        return progress

    async def failures(self) -> AsyncIterator[JobResult]:
        """Those results, as far as there are any by now, that are not `applied`.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        cursor, more = None, True
        while more:
            page = await self.page(cursor)
            for result in batches.unsuccessful(page.results):
                yield result
            cursor, more = page.cursor, bool(page.results)

    async def cancel(self) -> CancelReport:
        """Takes the batch back: what is queued ends `cancelled`, what is in flight by its reply; nothing is added.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        plan = batches.cancel_batch(self.batch_id, result_ttl_ms=self._settings.result_ttl_ms)
        return await run_plan(self._redis, plan, f"cancelling batch {self.batch_id}")

    async def retry_failed(self) -> Batch:
        """Sends this batch's dead letters again, as a batch of their own, in their order.

        Returns:
            The new batch. After a failure in the middle, what is left goes into another one when this is repeated.

        Raises:
            DeadLetterNotFound: this batch has none.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        plan = retry_batch(self.batch_id, self._settings, self._settings.result_ttl_ms)
        report = await run_plan(self._redis, plan, f"retrying what failed of batch {self.batch_id}")
        return replace(self, batch_id=report.batch_id, report=report)

    async def _look(self) -> Progress | None:
        progress = await self.progress()
        return progress if progress.complete else None


class ResultStream:
    """A batch's results as they are settled: each once, until the batch is complete. One reader's, not to be shared."""

    def __init__(self, batch: Batch, after: str | None, *, block_s: float) -> None:
        self._batch = batch
        self._block_ms = max(1, int(min(block_s, MAX_BLOCK_S) * 1000))
        self._cursor = ResultCursor(batch.batch_id, after)

    @property
    def cursor(self) -> str:
        """The position after the last result that was given; a stream begun there goes on without a gap."""
        return self._cursor.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobResult:
        """The next result; waits for it.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; the stream goes on when it is asked again.
        """
        while (result := self._cursor.pop()) is None:
            wanted = self._cursor.next_after
            if wanted is None:
                raise StopAsyncIteration
            if not self._cursor.load(await self._batch.page(wanted)):
                await self._news(wanted)
        return result

    async def _news(self, cursor: str) -> None:
        """Returns when something was added after the cursor, or after a while."""
        batch_id = self._batch.batch_id
        position = parse_cursor(batch_id, cursor)
        news = ("XREAD", "COUNT", 1, "BLOCK", self._block_ms, "STREAMS", keyspace.RESULTS + batch_id, position)
        with translate_errors(f"waiting for results of batch {batch_id}"):
            await execute(self._batch._redis, Transaction([news]))  # noqa: SLF001 - one concern
