"""Plans about dead letters: changes that finished with one of `DEAD_OUTCOMES`, kept with their payloads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from producers.contract import ids, keyspace
from producers.contract.codec import decode_change, traceparent_of
from producers.contract.keyspace import Keyspace
from producers.contract.messages import JobResult, Outcome, SettingsChange
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS
from producers.errors import JobNotFound, MalformedChange
from producers.queue.chunks import content_digest
from producers.queue.dead_letter_index import IndexEntry, dead_letter_not_found_error, visit
from producers.queue.dead_letter_selection import Selection
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.jobs import read_result
from producers.queue.slicing import slices
from producers.transport.commands import DEL, MGET, ZCARD, ZREM
from producers.transport.plan import Plan, Transaction

READ_BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A change that finished `rejected`, `unauthorized` or `exhausted`.

    Attributes:
        job_id: its ID.
        user_id: its user.
        trader_id: its trader.
        outcome: its outcome.
        ended_at_ms: when it finished, Unix milliseconds, Redis's clock.
        change: the change; None if its payload is malformed.
        result: its result; None if that has expired.
        replay_id: the job ID of its replay. It is always the same, so that a dead letter is never replayed twice.
        traceparent: the trace context of its attempts, which its replay goes on with; None if it was not traced.
    """

    job_id: str
    user_id: str
    trader_id: str
    outcome: Outcome
    ended_at_ms: int
    change: SettingsChange | None
    result: JobResult | None
    replay_id: str
    traceparent: str | None = None


def get(keys: Keyspace, job_id: str) -> Plan[DeadLetter]:
    """Return one dead letter.

    Raises:
        DeadLetterNotFound: there is no such dead letter.
    """
    found: list[DeadLetter] = []

    def take(entries: list[IndexEntry]) -> Plan[None]:
        found.extend((yield from fetch(keys, entries)))

    yield from visit(keys, Selection(job_id=job_id), take)
    if not found:
        raise dead_letter_not_found_error(job_id)
    return found[-1]


def drop(keys: Keyspace, selection: Selection) -> Plan[int]:
    """Delete dead letters, and return how many there were.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such dead letter.
    """
    dropped = 0

    def take(entries: list[IndexEntry]) -> Plan[None]:
        nonlocal dropped
        dropped += yield from delete_entries(keys, entries)

    yield from visit(keys, selection, take)
    return dropped


def fetch(keys: Keyspace, entries: Sequence[IndexEntry]) -> Plan[list[DeadLetter]]:
    """Return the dead letters of index entries; delete the entries of those that have expired."""
    if not entries:
        return []
    payloads, results = yield from Transaction(
        MGET(*(keys.dead_letter + entry.job_id for entry in entries)),
        MGET(*(keys.result + entry.job_id for entry in entries)),
    )
    yield from delete_entries(
        keys, [entry for entry, payload in zip(entries, payloads, strict=True) if payload is None]
    )
    return [
        _dead_letter(entry, payload, result)
        for entry, payload, result in zip(entries, payloads, results, strict=True)
        if payload is not None
    ]


def _dead_letter(entry: IndexEntry, payload: bytes, stored: bytes | None) -> DeadLetter:
    try:
        change: SettingsChange | None = decode_change(payload).a[0]
    except MalformedChange:
        change = None
    try:
        result = None if stored is None else read_result(stored, entry.job_id)
    except JobNotFound:
        result = None
    user_id, trader_id = keyspace.user_and_trader(entry.lane)
    ended_at_ms, replay_id = int(entry.ended_at_us // 1000), make_replay_id(entry.job_id, int(entry.ended_at_us))
    traceparent = traceparent_of(payload) or None
    return DeadLetter(
        entry.job_id, user_id, trader_id, entry.outcome, ended_at_ms, change, result, replay_id, traceparent
    )


def make_replay_id(job_id: str, ended_at_us: int) -> str:
    """Return the job ID of a dead letter's replay. It contains the time, since job IDs may be used again.

    "order-7" becomes "order-7~~60a3c1d2e4f5b". If that change becomes a dead letter, too, its replay is "order-7~~" and
    the time of its own end. IDs that callers choose cannot contain the mark.
    """
    base = job_id if ids.batch_id_of(job_id) else _before_last(ids.REPLAY_MARK, job_id)
    for mark in (ids.OLD_BATCH_MARK, ids.BATCH_MARK):
        base = base.replace(mark, ids.REPLAY_MARK)
    name = f"{base}{ids.REPLAY_MARK}{ended_at_us:x}"
    if len(name) <= MAX_ID_CHARS:
        return name
    return f"{hashlib.sha256(job_id.encode()).hexdigest()[:32]}{ids.REPLAY_MARK}{ended_at_us:x}"


def _before_last(mark: str, text: str) -> str:
    before, found, after = text.rpartition(mark)
    return before if found else after


def delete_entries(keys: Keyspace, entries: Sequence[IndexEntry]) -> Plan[int]:
    """Delete dead letters and their index entries; return how many of the dead letters were still there."""
    deleted = 0
    for some in slices(entries, READ_BATCH_SIZE):
        removals = [ZREM(keys.dead_letters + entry.outcome, f"{entry.lane} {entry.job_id}") for entry in some]
        count, _ = yield from Transaction(
            DEL(*(keys.dead_letter + entry.job_id for entry in some)), Transaction(*removals)
        )
        deleted += count
    return deleted


def merge_counts(parts: Sequence[dict[Outcome, int]]) -> dict[Outcome, int]:
    """Return how many dead letters several shards have of each outcome."""
    return {outcome: sum(part[outcome] for part in parts) for outcome in parts[0]}


def count_by_outcome(keys: Keyspace) -> Plan[dict[Outcome, int]]:
    """Return how many dead letters there are of each outcome."""
    counts = yield from Transaction(*[ZCARD(keys.dead_letters + outcome) for outcome in DEAD_OUTCOMES])
    return dict(zip(DEAD_OUTCOMES, counts, strict=True))


def retry_batch_id(batch_id: str, newest_replay_id: str, number: int = 0) -> str:
    """Return the ID of the batch that replays a batch's dead letters.

    It is derived from the newest one, which is sent last: a replay that was cut off is completed under the same ID.

    Args:
        batch_id: the batch.
        newest_replay_id: the `replay_id` of its newest dead letter.
        number: tells several batches apart.
    """
    suffix = f".retry-{content_digest([newest_replay_id, number])[:8]}"
    base = batch_id.replace(ids.BATCH_MARK, "--")  # an earlier version's may contain it
    return base[: MAX_BATCH_ID_CHARS - len(suffix)].rstrip(ids.BATCH_MARK) + suffix
