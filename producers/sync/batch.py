"""A handle to one batch, without await. See producers.client.batch for what the methods do and raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from redis import Redis

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
from producers.sync.performing import execute, run_plan, wait_for
from producers.transport.plan import Transaction
from producers.transport.runner import translate_errors


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
    _settings: ProducerSettings = field(kw_only=True, repr=False, compare=False)

    def progress(self) -> Progress:
        """Where the batch is; one round trip, whatever its size."""
        return run_plan(self._redis, fetch_progress(self.batch_id), f"asking for batch {self.batch_id}")

    def results(self, after: str | None = None) -> ResultStream:
        """The results, in the order in which they are settled, from a position on, until the batch is complete."""
        return ResultStream(self, after, block_s=self._settings.redis_timeout_s / 2)

    def page(self, after: str | None = None, limit: int = PAGE_SIZE) -> ResultPage:
        """Those results that are there by now; does not wait."""
        plan = batches.read_page(self.batch_id, after, limit)
        return run_plan(self._redis, plan, f"reading results of batch {self.batch_id}")

    def wait(self, timeout: float | None = None) -> Progress:
        """Waits until the batch is complete, `timeout` seconds at the most."""
        progress = wait_for(self._redis, keyspace.COMPLETE + self.batch_id, self._look, timeout)
        if progress is None:
            raise ResultTimeout(f"batch {self.batch_id} is not complete within {timeout} s; it stays queued")
        return progress

    def failures(self) -> Iterator[JobResult]:
        """Those results, as far as there are any by now, that are not `applied`."""
        cursor, more = None, True
        while more:
            page = self.page(cursor)
            yield from batches.unsuccessful(page.results)
            cursor, more = page.cursor, bool(page.results)

    def cancel(self) -> CancelReport:
        """Takes the batch back: what is queued ends `cancelled`, what is in flight by its reply; nothing is added."""
        plan = batches.cancel_batch(self.batch_id, result_ttl_ms=self._settings.result_ttl_ms)
        return run_plan(self._redis, plan, f"cancelling batch {self.batch_id}")

    def retry_failed(self) -> Batch:
        """Sends this batch's dead letters again, as a batch of their own, in their order."""
        plan = retry_batch(self.batch_id, self._settings, self._settings.result_ttl_ms)
        report = run_plan(self._redis, plan, f"retrying what failed of batch {self.batch_id}")
        return replace(self, batch_id=report.batch_id, report=report)

    def _look(self) -> Progress | None:
        progress = self.progress()
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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> JobResult:
        """The next result; waits for it."""
        while (result := self._cursor.pop()) is None:
            wanted = self._cursor.next_after
            if wanted is None:
                raise StopIteration
            if not self._cursor.load(self._batch.page(wanted)):
                self._news(wanted)
        return result

    def _news(self, cursor: str) -> None:
        """Returns when something was added after the cursor, or after a while."""
        batch_id = self._batch.batch_id
        position = parse_cursor(batch_id, cursor)
        news = ("XREAD", "COUNT", 1, "BLOCK", self._block_ms, "STREAMS", keyspace.RESULTS + batch_id, position)
        with translate_errors(f"waiting for results of batch {batch_id}"):
            execute(self._batch._redis, Transaction([news]))  # noqa: SLF001 - one concern
