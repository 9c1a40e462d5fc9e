"""Reading the results of a batch, page by page, from its stream."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from producers.contract.keyspace import Keyspace
from producers.contract.messages import JobResult, Outcome
from producers.contract.stored_values import Listing, read_each
from producers.errors import JobNotFound
from producers.queue.cursors import format_cursor, join_positions, order_of, parse_cursor
from producers.queue.jobs import read_result
from producers.queue.progress import batch_not_found_error
from producers.transport.commands import HMGET, MGET, XRANGE
from producers.transport.plan import Plan, Transaction

PAGE_SIZE = 1000
"""Results a round trip: about 300 KB, read in a few milliseconds."""

MAX_PAGE_SIZE = 10_000
"""Limit of what a caller may ask for: Redis and the reader hold a page in memory."""

MAX_BLOCK_S = 2.0
"""The longest blocking read of results. It must be shorter than redis-py's socket timeout."""


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Some results of a batch, in the order in which they were settled.

    Attributes:
        results: the results.
        positions: the position of each in the stream; with several shards, the joined ones of all streams.
        cursor: the position after the last of them; the next page starts there (`after=cursor`).
        complete: whether there will be no results after them.
        malformed: how many entries of the page were left out, because they cannot be read.
        is_full: whether as many entries were looked at as were asked for, so that there may be others.
    """

    results: list[JobResult]
    positions: list[str]
    cursor: str
    complete: bool
    malformed: int = 0
    is_full: bool = False


def read_page(
    keys: Keyspace,
    batch_id: str,
    after: str | None,
    limit: int = PAGE_SIZE,
    outcomes: Collection[Outcome] | None = None,
) -> Plan[ResultPage]:
    """Return the results after a cursor that are there by now: up to `limit`, and up to `MAX_PAGE_SIZE`.

    With `outcomes`, those of the others are left out: their results are not read, but they count towards the limit.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
        InvalidCursor: `after` is not a cursor of this batch.
    """
    (position,) = parse_cursor(batch_id, after)
    limit = max(0, min(limit, MAX_PAGE_SIZE))
    entries, (created, end) = yield from Transaction(
        XRANGE(keys.batch_results + batch_id, f"({position}", "+", "COUNT", limit),
        HMGET(keys.batch + batch_id, "created_at", "end_entry"),
    )
    if created is None:
        raise batch_not_found_error(batch_id)
    finished = read_each([entry for entry in entries if b"end" not in entry[1]], _finished)
    if entries:
        position = entries[-1][0].decode()
    malformed = finished.malformed
    if outcomes is not None:
        finished = Listing(entry for entry in finished if entry[2] in outcomes)
    results: list[JobResult] = []
    if finished:
        stored = yield from MGET(*(keys.result + job_id for _, job_id, _ in finished))
        results = [_result(*entry[1:], result) for entry, result in zip(finished, stored, strict=True)]
    last = read_each([end or b""], lambda stored: order_of(stored.decode()))
    complete = last != [] and order_of(position) >= last[0]
    cursor = format_cursor(batch_id, position)
    positions = [place for place, _, _ in finished]
    return ResultPage(results, positions, cursor, complete, malformed, is_full=len(entries) == limit)


def _finished(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[str, str, Outcome]:
    """Return the position, job ID and outcome of an entry of a stream of results."""
    position, fields = entry
    return position.decode(), fields[b"job"].decode(), Outcome(fields[b"outcome"].decode())


def _result(job_id: str, outcome: Outcome, stored: bytes | None) -> JobResult:
    """Return a result; if it has expired or cannot be read, what the stream says of it."""
    message = "its full result has expired"
    if stored is not None:
        try:
            return read_result(stored, job_id)
        except JobNotFound as exc:
            message = str(exc)
    return JobResult(job_id=job_id, user_id="", trader_id="", outcome=outcome, message=message)


class ResultCursor:
    """The place of a reader in a batch's results: pages are loaded, results are popped.

    Attributes:
        malformed: how many entries the loaded pages left out.
    """

    def __init__(self, batch_id: str, after: str | None, shards: int = 1) -> None:
        """Start after a cursor, which has positions of so many shards; None starts at the first result.

        Raises:
            InvalidCursor: `after` is not a cursor of this batch.
        """
        self.malformed = 0
        self._batch_id = batch_id
        positions = parse_cursor(batch_id, after, shards)
        self._page_start = format_cursor(batch_id, positions[0] if shards == 1 else join_positions(positions))
        self._page = ResultPage([], [], self._page_start, complete=False)
        self._popped = 0

    @property
    def cursor(self) -> str:
        """The position after the last popped result."""
        if self._popped == 0:
            return self._page_start
        return format_cursor(self._batch_id, self._page.positions[self._popped - 1])

    @property
    def next_after(self) -> str | None:
        """The cursor after which the next page starts; None if there is no other page."""
        return None if self._page.complete else self._page.cursor

    def pop(self) -> JobResult | None:
        """Return the next result of the page, None if there is none."""
        if self._popped == len(self._page.results):
            return None
        self._popped += 1
        return self._page.results[self._popped - 1]

    def load(self, page: ResultPage) -> bool:
        """Continue with the page after `next_after`. Return False if it is empty so far: wait, and read it again."""
        if page.cursor == self._page.cursor and not page.complete:
            return False
        self.malformed += page.malformed
        self._page_start, self._page, self._popped = self._page.cursor, page, 0
        return True
