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
from producers.contract.messages import Outcome, Priority, SettingsChange
from producers.contract.validation import check_change
from producers.errors import DeadLetterNotFound, ProducerError, Refusal, ReplayRefused
from producers.queue import dead_letters
from producers.queue.batches import check_existing, seal
from producers.queue.chunking import CONFLICTS, conflict_error, refusal_error
from producers.queue.dead_letter_index import IndexEntry, visit
from producers.queue.dead_letter_selection import Selection
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter
from producers.queue.fan_out import FanOutReport, member_job_id
from producers.queue.progress import fetch_progress
from producers.queue.slicing import slices
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.queue.submit_messages import SubmitVerdict
from producers.settings import ProducerSettings, change_ttl_ms
from producers.transport.commands import HGET, HMGET, TIME_US
from producers.transport.plan import Plan

RETRY = "retry"
"""The content of all batches of dead letters: each letter is sent once, so their content cannot conflict."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The result of replaying dead letters.

    Attributes:
        replayed: the old and the new job ID of each that was appended to its lane.
        refused: the job ID of each other, and why.
        malformed: how many index entries were left out, because they cannot be read.
    """

    replayed: list[tuple[str, str]]
    refused: list[tuple[str, str]]
    malformed: int = 0


def replay(keys: Keyspace, selection: Selection, settings: ProducerSettings) -> Plan[ReplayReport]:
    """Append dead letters to their lanes, in their order.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such dead letter.
    """
    priority = Priority.BULK if selection.job_id is None else Priority.INTERACTIVE
    options = SubmitOptions(settings.lane_limit, priority, full_percent=settings.redis_full_percent)
    report = ReplayReport([], [])

    def take(entries: list[IndexEntry]) -> Plan[None]:
        for some in slices(entries, READ_BATCH_SIZE):
            found = yield from dead_letters.fetch(keys, some)
            gone, _ = yield from _send([(letter, letter.replay_id) for letter in found], options, settings, report)
            yield from dead_letters.delete_entries(keys, [entry for entry in some if entry.job_id in gone])

    malformed = yield from visit(keys, selection, take)
    return replace(report, malformed=malformed)


@dataclass(frozen=True, slots=True)
class NextRetry:
    """What retrying the dead letters of a batch enqueues.

    Attributes:
        batch_id: the ID of the batch that they are enqueued as; if an earlier retry was cut off, that of its batch.
        counts: how many dead letters there are of each outcome.
    """

    batch_id: str
    counts: Mapping[Outcome, int]


def next_retry(keys: Keyspace, batch_id: str, selection: Selection) -> Plan[NextRetry | None]:
    """Return what retrying the selected dead letters of a batch enqueues; None if there are none."""
    counts: Counter[Outcome] = Counter()
    newest: list[IndexEntry] = []

    def take(entries: list[IndexEntry]) -> Plan[None]:
        counts.update(entry.outcome for entry in entries)
        newest[:] = entries[-1:] or newest
        yield from ()

    yield from visit(keys, selection, take)
    if not newest:
        return None
    newest_replay_id = dead_letters.make_replay_id(newest[0].job_id, int(newest[0].ended_at_us))
    return NextRetry((yield from _retry_id(keys, batch_id, newest_replay_id)), counts)


def _retry_id(keys: Keyspace, batch_id: str, newest_replay_id: str) -> Plan[str]:
    """Return the ID of the batch that a retry makes or goes on with, which was not cancelled."""
    for number in itertools.count():
        new_batch_id = dead_letters.retry_batch_id(batch_id, newest_replay_id, number)
        if (yield from HGET(keys.batch + new_batch_id, "cancelled_at")) is None:
            break
    return new_batch_id


def _is_closed(keys: Keyspace, batch_id: str) -> Plan[bool]:
    """Return whether nothing can be added to a batch: it is sealed, and no lane was full."""
    sealed, lane_full_count = yield from HMGET(keys.batch + batch_id, "sealed_at", "lane_full_count")
    return sealed is not None and not int(lane_full_count or 0)


def retry_batch(
    keys: Keyspace, batch_id: str, selection: Selection, new_batch_id: str | None, settings: ProducerSettings
) -> Plan[FanOutReport]:
    """Send dead letters of a batch again, as a batch of their own.

    Args:
        keys: the names of keys.
        batch_id: the batch.
        selection: which of its dead letters.
        new_batch_id: the ID of the new batch; None for that of `next_retry`. If there is such a batch and nothing can
            be added to it, nothing is sent: it is the one of an earlier call.
        settings: of the producer.

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
    if new_batch_id is not None and exists and (yield from _is_closed(keys, new_batch_id)):
        earlier = yield from fetch_progress(new_batch_id)
        return FanOutReport(new_batch_id, earlier.total, 0, earlier.total, [])
    entries: list[IndexEntry] = []
    found: list[DeadLetter] = []

    def take(part: list[IndexEntry]) -> Plan[None]:
        entries.extend(part)
        for some in slices(part, READ_BATCH_SIZE):
            found.extend((yield from dead_letters.fetch(keys, some)))

    yield from visit(keys, selection, take)
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
        sent, full = yield from _send(part, options, settings, report)
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


def _send(
    letters: Sequence[tuple[DeadLetter, str]], options: SubmitOptions, settings: ProducerSettings, report: ReplayReport
) -> Plan[tuple[set[str], int]]:
    """Submit dead letters with new job IDs, and add to the report.

    Returns:
        The job IDs of those that were submitted, now or by another replay; and how many were refused by a full lane.

    Raises:
        BatchConflict: their batch accepts nothing more; all dead letters are kept.
    """
    now_us = yield from TIME_US()
    ttl_ms = change_ttl_ms(settings.change_ttl_s)
    prepared: list[Submission] = []
    for letter, job_id in letters:
        change = _replayable_change(letter, report)
        if change is not None:
            submission = Submission.from_change(
                change, job_id, options, now_ms=now_us // 1000, ttl_ms=ttl_ms, dead_letter_id=letter.job_id
            )
            prepared.append(submission)
    if not prepared:
        return set(), 0
    _, *verdicts = yield from submit(prepared, options)
    gone: set[str] = set()
    for submission, verdict in zip(prepared, verdicts, strict=True):
        if verdict in CONFLICTS:
            raise conflict_error(options.batch_id, SubmitVerdict(verdict))
        error = refusal_error(verdict, submission, options)
        if error is not None:
            report.refused.append((submission.dead_letter_id, str(error)))
            continue
        if verdict not in (SubmitVerdict.ALREADY_THERE, SubmitVerdict.DEAD_LETTER_GONE):
            report.replayed.append((submission.dead_letter_id, submission.job_id))
        gone.add(submission.dead_letter_id)
    return gone, verdicts.count(SubmitVerdict.LANE_FULL)


def _replayable_change(letter: DeadLetter, report: ReplayReport) -> SettingsChange | None:
    """Return the change of a dead letter; None if it cannot be sent, which is then in the report."""
    if letter.change is None:
        report.refused.append((letter.job_id, "its payload cannot be read; drop it"))
        return None
    try:
        check_change(letter.change)
    except ProducerError as exc:
        report.refused.append((letter.job_id, str(exc)))
        return None
    return letter.change
