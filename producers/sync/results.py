# Generated from producers/client/results.py by `python -m ops.unasync`: change that file, not this one.
"""Reading the results of a batch: page by page, or as a stream that waits for the next one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Self

from producers.contract.messages import JobResult, Outcome
from producers.errors import BatchNotFound
from producers.queue.cursors import format_cursor, parse_cursor
from producers.queue.merged_results import merge_pages, part_size
from producers.queue.results import MAX_BLOCK_S, MAX_PAGE_SIZE, ResultCursor, ResultPage, read_page
from producers.sync.shard import Shard, run_where_found
from producers.sync.transport import pause, run_blocking, run_plan
from producers.transport.commands import XREAD

POLL_S = 0.2
"""How often a stream over several shards looks for results: no command of Redis waits for all of them at once."""


class ResultReader:
    """Reads pages of a batch's results, and waits until there are others."""

    def __init__(self, batch_id: str, shards: Sequence[Shard]) -> None:
        self.batch_id = batch_id
        self.shards = shards

    def page(self, after: str | None, limit: int, outcomes: Collection[Outcome] | None = None) -> ResultPage:
        """Return the results that exist now, as `Batch.page` does."""
        batch_id, shards, action = self.batch_id, self.shards, f"reading results of batch {self.batch_id}"
        if len(shards) == 1:
            plan = read_page(shards[0].keys, batch_id, after, limit, outcomes)
            return run_plan(shards[0].redis, plan, action)
        starts = parse_cursor(batch_id, after, len(shards))
        limit = max(0, min(limit, MAX_PAGE_SIZE))
        cursors, size = [format_cursor(batch_id, start) for start in starts], part_size(limit, len(shards))
        found = run_where_found(
            shards,
            lambda shard: read_page(shard.keys, batch_id, cursors[shard.number], size, outcomes),
            action,
            BatchNotFound,
        )
        return merge_pages(batch_id, starts, {shard.number: page for shard, page in found}, limit)

    def wait(self, after: str, block_s: float) -> None:
        """Wait until there is a result after a cursor; not for ever, and perhaps in vain."""
        if len(self.shards) > 1:
            pause(min(block_s, POLL_S))
            return
        (shard,), (position,) = self.shards, parse_cursor(self.batch_id, after)
        block_ms = max(1, int(min(block_s, MAX_BLOCK_S) * 1000))
        stream = shard.keys.batch_results + self.batch_id
        read = XREAD("COUNT", 1, "BLOCK", block_ms, "STREAMS", stream, position)
        run_blocking(shard.redis, read, f"waiting for results of batch {self.batch_id}")


class ResultStream:
    """An iterator over a batch's results: each once, waiting for the next one until the batch is complete.

    Do not share a stream: each reader needs its own.
    """

    def __init__(self, reader: ResultReader, after: str | None, page_size: int, block_s: float) -> None:
        self._reader = reader
        self._page_size = page_size
        self._block_s = block_s
        self._cursor = ResultCursor(reader.batch_id, after, len(reader.shards))

    @property
    def malformed(self) -> int:
        """How many entries were left out so far, because they cannot be read."""
        return self._cursor.malformed

    @property
    def cursor(self) -> str:
        """The position after the last returned result. `batch.results(after=cursor)` continues there without a gap."""
        return self._cursor.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> JobResult:
        """Wait for the next result and return it.

        Raises:
            BatchNotFound: there is no such batch, or it has expired.
            QueueUnavailable: Redis did not answer; the stream can be continued.
        """
        while (result := self._cursor.pop()) is None:
            after = self._cursor.next_after
            if after is None:
                raise StopIteration
            if not self._cursor.load(self._reader.page(after, self._page_size)):
                self._reader.wait(after, self._block_s)
        return result
