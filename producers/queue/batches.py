"""Plans about batches: beginning, sealing, pages of results, taking back. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from producers.contract import keyspace
from producers.contract.messages import JobResult, Outcome
from producers.contract.progress import Progress
from producers.errors import BatchNotFound, InvalidCursor, abbreviated
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.chunking import conflict_error
from producers.queue.finish import FINISH
from producers.queue.jobs import read_result
from producers.queue.progress import batch_not_found_error, fetch_progress
from producers.queue.submit import SubmitOptions, SubmitVerdict
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.scripts import Argument, Script


class SealVerdict(IntEnum):
    """What seal.lua replies."""

    SEALED = 1
    ALREADY_SEALED = 0
    NO_BATCH = -1
    OTHER_CONTENT = -2


SEAL = Script.load("producers.queue", "seal.lua", parts=[FINISH], constants={"VERDICT": SealVerdict})

PAGE_SIZE = 1000
"""Results a round trip: 300 KB, in a few milliseconds."""

MAX_BLOCK_S = 2.0
"""A read waits for news this long at the most; redis-py would take a longer silence for a lost connection."""

SCAN_COUNT = 1000
MAX_PAGE_SIZE = 10_000
"""Whatever a caller asks for: a page is held in memory, by Redis and by the reader."""

STREAM_START = "0-0"
MOST_64 = 2**64 - 1

_position = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Some results of a batch, in the order in which they were settled.

    Attributes:
        results: the results.
        positions: where in the stream each of them is.
        cursor: the position after the last of them; give it as `after` to go on.
        complete: whether nothing comes after them any more.
    """

    results: list[JobResult]
    positions: list[str]
    cursor: str
    complete: bool


def read_page(batch_id: str, after: str | None, limit: int = PAGE_SIZE) -> Plan[ResultPage]:
    """Results from a position on, as far as they are settled; never more than `MAX_PAGE_SIZE`.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
        InvalidCursor: `after` is no position in its results.
    """
    position = parse_cursor(batch_id, after)
    limit = max(0, min(limit, MAX_PAGE_SIZE))
    entries, (created, end) = yield Transaction(
        [
            ("XRANGE", keyspace.BATCH_RESULTS + batch_id, f"({position}", "+", "COUNT", limit),
            ("HMGET", keyspace.BATCH + batch_id, "created", "end"),
        ]
    )
    if created is None:
        raise batch_not_found_error(batch_id)
    ended = [fields for _, fields in entries if b"job" in fields]
    positions = [place.decode() for place, fields in entries if b"job" in fields]
    if entries:
        position = entries[-1][0].decode()
    results: list[JobResult] = []
    if ended:
        (stored,) = yield Transaction([("MGET", *(keyspace.RESULT.encode() + fields[b"job"] for fields in ended))])
        results = [_result(*pair) for pair in zip(ended, stored, strict=True)]
    complete = end is not None and _order(position) >= _order(end.decode())
    return ResultPage(results, positions, format_cursor(batch_id, position), complete)


def _order(position: str) -> tuple[int, ...]:
    """By which positions are compared."""
    return tuple(map(int, position.split("-")))


class ResultCursor:
    """How far a reader of a batch's results is: pages in, results out."""

    def __init__(self, batch_id: str, after: str | None) -> None:
        """Begins after a cursor, at the beginning for None.

        Raises:
            InvalidCursor: `after` is no position in the batch's results.
        """
        self._batch_id = batch_id
        self._begun_at = format_cursor(batch_id, parse_cursor(batch_id, after))
        self._page = ResultPage([], [], self._begun_at, complete=False)
        self._popped = 0

    @property
    def cursor(self) -> str:
        """The position after the last result that was given."""
        if self._popped == 0:
            return self._begun_at
        return format_cursor(self._batch_id, self._page.positions[self._popped - 1])

    @property
    def next_after(self) -> str | None:
        """From where the next page is wanted; None if there will be none."""
        return None if self._page.complete else self._page.cursor

    def pop(self) -> JobResult | None:
        """The next result of the page, None if all were given."""
        if self._popped == len(self._page.results):
            return None
        self._popped += 1
        return self._page.results[self._popped - 1]

    def load(self, page: ResultPage) -> bool:
        """Goes on with the page that was wanted; returns whether there was anything on it."""
        if not page.results and not page.complete:
            return False
        self._begun_at, self._page, self._popped = self._page.cursor, page, 0
        return True


def _result(fields: dict[bytes, bytes], stored: bytes | None) -> JobResult:
    job_id, outcome = fields[b"job"].decode(), Outcome(fields[b"outcome"].decode())
    if stored is not None:
        return read_result(stored, job_id)
    return JobResult(job_id=job_id, user_id="", trader_id="", outcome=outcome, message="its full result has expired")


def seal(batch_id: str, options: SubmitOptions, *, lane_full_count: int, result_ttl_ms: int) -> Plan[None]:
    """Nothing more comes to a batch, but `lane_full_count` changes that found their lane full, if it is run again.

    Raises:
        BatchConflict: it is of other content.
    """
    args: list[Argument] = [
        batch_id,
        options.content,
        options.priority.value,
        0,
        lane_full_count,
        result_ttl_ms,
    ]
    verdict = yield RunScript(SEAL, [keyspace.BATCH + batch_id, keyspace.BATCHES], args, idempotent=True)
    if verdict == SealVerdict.OTHER_CONTENT:
        raise conflict_error(batch_id, SubmitVerdict.OTHER_CONTENT)


def check_existing(batch_id: str, options: SubmitOptions) -> Plan[bool]:
    """Whether a batch exists already; asked before anything is written.

    Raises:
        BatchConflict: it is of other content, or was cancelled.
    """
    ((content, cancelled),) = yield Transaction([("HMGET", keyspace.BATCH + batch_id, "content", "cancelled")])
    if content is None:
        return False
    if content.decode() != options.content:
        raise conflict_error(batch_id, SubmitVerdict.OTHER_CONTENT)
    if cancelled is not None:
        raise conflict_error(batch_id, SubmitVerdict.CANCELLED)
    return True


def cancel_batch(batch_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Takes a batch back: it accepts nothing more, and what is queued of it ends `cancelled`.

    Raises:
        BatchNotFound: there is no such batch, or it has expired.
    """
    args: list[Argument] = [batch_id, "", "", 1, 0, result_ttl_ms]
    verdict = yield RunScript(SEAL, [keyspace.BATCH + batch_id, keyspace.BATCHES], args, idempotent=True)
    if verdict == SealVerdict.NO_BATCH:
        raise batch_not_found_error(batch_id)
    cancelled = in_flight = cursor = 0
    while True:
        ((cursor, rest),) = yield Transaction(
            [("SSCAN", keyspace.BATCH_MEMBERS + batch_id, cursor, "COUNT", SCAN_COUNT)]
        )
        verdicts = yield from cancel_jobs([_member(batch_id, one) for one in rest], result_ttl_ms=result_ttl_ms)
        cancelled += verdicts.count(Cancellation.CANCELLED)
        in_flight += verdicts.count(Cancellation.IN_FLIGHT)
        if not cursor:
            return CancelReport(cancelled, in_flight)


def list_newest(limit: int) -> Plan[list[Progress]]:
    """The newest batches; forgets those that have expired."""
    if limit < 1:
        return []
    limit = min(limit, MAX_PAGE_SIZE)
    batches: list[Progress] = []
    while len(batches) < limit:
        (names,) = yield Transaction([("ZREVRANGE", keyspace.BATCHES, len(batches), limit - 1)])
        if not names:
            break
        for name in names:
            try:
                batches.append((yield from fetch_progress(name.decode())))
            except BatchNotFound:
                yield Transaction([("ZREM", keyspace.BATCHES, name)])
    return batches


def format_cursor(batch_id: str, position: str) -> str:
    """A position in a batch's results, as its readers keep it."""
    return f"{batch_id}/{position}"


def parse_cursor(batch_id: str, cursor: str | None) -> str:
    """The position in the stream; the beginning for None.

    Raises:
        InvalidCursor: it is none of this batch.
    """
    if cursor is None:
        return STREAM_START
    if isinstance(cursor, str):
        name, _, position = cursor.rpartition("/")
        if name == batch_id and _position(position) and all(int(half) < MOST_64 for half in position.split("-")):
            return position
    example = format_cursor(batch_id, STREAM_START)
    raise InvalidCursor(f"after: must be a cursor of batch {batch_id}, such as {example!r}; got {abbreviated(cursor)}")


def _member(batch_id: str, rest: bytes) -> str:
    return f"{batch_id}{keyspace.BATCH_MARK}{rest.decode()}"


def unsuccessful(results: Sequence[JobResult]) -> list[JobResult]:
    """Those that did not end `applied`."""
    return [result for result in results if not result.applied]
