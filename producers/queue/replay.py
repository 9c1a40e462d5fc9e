"""Plans that send dead letters again: into their lanes, or as a batch.

The script that appends a change also deletes its dead letter. So a replay that is repeated after a failure, or
runs twice, appends each change once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from producers.contract import ids
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Outcome, Priority
from producers.errors import DeadLetterNotFound, Refusal, ReplayRefused
from producers.queue import dead_letters
from producers.queue.batches import check_existing, seal
from producers.queue.dead_letter_index import IndexEntry, visit
from producers.queue.dead_letter_selection import Selection
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter
from producers.queue.fan_out import FanOutReport, member_job_id
from producers.queue.progress import fetch_progress
from producers.queue.resubmission import ReplayReport, resubmit
from producers.queue.slicing import slices
from producers.queue.submit import SubmitOptions
from producers.settings import ProducerSettings
from producers.tracing import NOT_TRACED, Sending
from producers.transport.commands import HGET, HMGET
from producers.transport.plan import Plan

RETRY = "retry"
"""The content of all batches of dead letters: each letter is sent once, so their content cannot conflict."""


def replay(
    keys: Keyspace, selection: Selection, settings: ProducerSettings, sending: Sending = NOT_TRACED
) -> Plan[ReplayReport]:
    """Append dead letters to their lanes, in their order.

    Args:
        keys: the names of keys.
        selection: which dead letters.
        settings: of the producer.
        sending: how the changes are traced.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such dead letter.
    """
    priority = Priority.BULK if selection.job_id is None else Priority.INTERACTIVE
    options = SubmitOptions(settings.lane_limit, priority, full_percent=settings.redis_full_percent)
    report = ReplayReport([], [])

    def take(entries: list[IndexEntry]) -> Plan[None]:
        for some in slices(entries, READ_BATCH_SIZE):
            found = yield from dead_letters.fetch(keys, some)
            gone, _ = yield from resubmit(
                [(letter, letter.replay_id) for letter in found], options, settings, report, sending
            )
            yield from dead_letters.delete_entries(keys, [entry for entry in some if entry.job_id in gone])

    malformed = yield from visit(keys, selection, take)
    return replace(report, malformed=malformed)


@dataclass(frozen=True, slots=True)
class NextRetry:
    """What retrying the dead letters of a batch enqueues.

    Attributes:
        batch_id: the ID of the batch that they are enqueued as; if an earlier retry was cut off, that of its batch.
        counts: how many dead letters there are of each outcome.
        newest_shard: the number of the shard that has the last of them, which names the batch.
    """

    batch_id: str
    counts: Mapping[Outcome, int]
    newest_shard: int = 0


@dataclass(frozen=True, slots=True)
class FailedChanges:
    """The dead letters of a batch, of which some may have expired.

    Attributes:
        counts: how many there are of each outcome.
        newest: the last of them; None if there are none.
    """

    counts: Counter[Outcome]
    newest: IndexEntry | None

    @classmethod
    def merged(cls, parts: Sequence[FailedChanges]) -> FailedChanges:
        """Return those of several shards together."""
        newest = [part.newest for part in parts if part.newest is not None]
        counts = sum((part.counts for part in parts), Counter[Outcome]())
        return cls(counts, max(newest, key=lambda entry: entry.ended_at_us, default=None))

    def newest_us(self) -> float:
        """Return when the last of them ended, Unix microseconds; 0 if there are none."""
        return 0.0 if self.newest is None else self.newest.ended_at_us

    @property
    def newest_replay_id(self) -> str | None:
        """The job ID of the newest one's replay, which names the batch that retries them."""
        newest = self.newest
        return None if newest is None else dead_letters.make_replay_id(newest.job_id, int(newest.ended_at_us))


def count_failed(keys: Keyspace, selection: Selection) -> Plan[FailedChanges]:
    """Return how many selected dead letters there are, and the newest."""
    counts: Counter[Outcome] = Counter()
    newest: list[IndexEntry] = []

    def take(entries: list[IndexEntry]) -> Plan[None]:
        counts.update(entry.outcome for entry in entries)
        newest[:] = entries[-1:] or newest
        yield from ()

    yield from visit(keys, selection, take)
    return FailedChanges(counts, newest[0] if newest else None)


def was_cancelled(keys: Keyspace, batch_id: str) -> Plan[bool]:
    """Return whether a batch was cancelled: a retry then makes another one."""
    return (yield from HGET(keys.batch + batch_id, "cancelled_at")) is not None


def _retry_id(keys: Keyspace, batch_id: str, newest_replay_id: str) -> Plan[str]:
    """Return the ID of the batch that a retry makes or goes on with, which was not cancelled."""
    for number in itertools.count():
        new_batch_id = dead_letters.retry_batch_id(batch_id, newest_replay_id, number)
        if not (yield from was_cancelled(keys, new_batch_id)):
            break
    return new_batch_id


def _is_closed(keys: Keyspace, batch_id: str) -> Plan[bool]:
    """Return whether nothing can be added to a batch: it is sealed, and no lane was full."""
    sealed, lane_full_count = yield from HMGET(keys.batch + batch_id, "sealed_at", "lane_full_count")
    return sealed is not None and not int(lane_full_count or 0)


def retry_batch(
    keys: Keyspace,
    batch_id: str,
    selection: Selection,
    new_batch_id: str | None,
    settings: ProducerSettings,
    sending: Sending = NOT_TRACED,
) -> Plan[FanOutReport]:
    """Send dead letters of a batch again, as a batch of their own.

    Args:
        keys: the names of keys.
        batch_id: the batch.
        selection: which of its dead letters.
        new_batch_id: the ID of the new batch; None for that of `next_retry`. If there is such a batch and nothing can
            be added to it, nothing is sent: it is the one of an earlier call.
        settings: of the producer.
        sending: how the changes are traced.

    Raises:
        BatchNotFound: there is no such batch.
        DeadLetterNotFound: the batch has no dead letter that can be read.
        BatchConflict: there is another batch of the new ID.
    """
    options = SubmitOptions(
        settings.lane_limit,
        Priority.BULK,
        batch_id=new_batch_id or "",
        content=RETRY,
        full_percent=settings.redis_full_percent,
    )
    exists = new_batch_id is not None and (yield from check_existing(keys, new_batch_id, options))
    entries: list[IndexEntry] = []
    found: list[DeadLetter] = []

    def take(part: list[IndexEntry]) -> Plan[None]:
        entries.extend(part)
        for some in slices(part, READ_BATCH_SIZE):
            found.extend((yield from dead_letters.fetch(keys, some)))

    yield from visit(keys, selection, take)  # also drops the index entries that a call that was cut off left
    if new_batch_id is not None and exists and (yield from _is_closed(keys, new_batch_id)):
        earlier = yield from fetch_progress(new_batch_id)
        return FanOutReport(new_batch_id, earlier.total, 0, earlier.total, [])
    if not any(letter.change for letter in found) and not exists:
        yield from fetch_progress(batch_id)  # raises if there is no such batch
        raise DeadLetterNotFound(f"batch {batch_id} has no dead letters that could be sent again")
    if new_batch_id is None:
        new_batch_id = yield from _retry_id(keys, batch_id, found[-1].replay_id)
        options = replace(options, batch_id=new_batch_id)
        yield from check_existing(keys, new_batch_id, options)
    report = ReplayReport([], [])
    gone: set[str] = set()
    lane_full_count = 0
    # Named by the letters themselves: a call that is repeated finds fewer of them.
    named = [(letter, member_job_id(new_batch_id, ids.member_of(letter.job_id))) for letter in found]
    for part in slices(named, READ_BATCH_SIZE):
        sent, full = yield from resubmit(part, options, settings, report, sending)
        gone |= sent
        lane_full_count += full
    yield from seal(
        new_batch_id,
        options,
        lane_full_count=lane_full_count,
        result_ttl_ms=settings.result_ttl_ms,
        retry_of=batch_id,
    )
    yield from dead_letters.delete_entries(keys, [entry for entry in entries if entry.job_id in gone])
    index = {letter.job_id: number for number, letter in enumerate(found)}
    refused = [Refusal(index[job_id], ReplayRefused(f"{job_id}: {reason}")) for job_id, reason in report.refused]
    return FanOutReport(new_batch_id, len(found), len(report.replayed), 0, refused)
