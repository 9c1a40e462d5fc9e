"""Plans that send dead letters again: into their lanes, or as a batch of their own. No I/O.

A letter goes in the step that puts its change into its lane: whatever fails, or is done twice, it is sent once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from producers.contract.messages import Priority, SettingsChange
from producers.contract.validation import check
from producers.errors import ProducerError, Refusal, ReplayRefused
from producers.queue import dead_letters
from producers.queue.batches import check_existing, seal
from producers.queue.chunking import conflict_error, lane_full_error
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter, IndexEntry, Selection
from producers.queue.fan_out import FanOutReport, member_job_id
from producers.queue.submit import Submission, SubmitOptions, SubmitVerdict, submit
from producers.settings import ProducerSettings, change_ttl_ms
from producers.transport.plan import Plan, Transaction


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What became of replaying dead letters.

    Attributes:
        replayed: old and new job ID of each that is in its lane again.
        refused: job ID of each that is not, and why.
    """

    replayed: list[tuple[str, str]]
    refused: list[tuple[str, str]]


RETRY = "retry"
"""The content of a batch of letters: they are what they are, and each is sent once."""


def replay(selection: Selection, settings: ProducerSettings) -> Plan[ReplayReport]:
    """Puts letters at the ends of their lanes, in their order.

    Raises:
        DeadLetterNotFound: there is no letter of the selection's job ID.
    """
    entries = yield from dead_letters.select_entries(selection)
    priority = Priority.BULK if selection.job_id is None else Priority.INTERACTIVE
    options = SubmitOptions(settings.lane_limit, priority)
    report = ReplayReport([], [])
    for some in _runs(entries):
        found = yield from dead_letters.fetch(some)
        gone, _ = yield from _send([(letter, letter.replay_id) for letter in found], options, settings, report)
        yield from dead_letters.delete_entries([entry for entry in some if entry.job_id in gone])
    return report


def retry_batch(batch_id: str, settings: ProducerSettings, result_ttl_ms: int) -> Plan[FanOutReport]:
    """Sends a batch's letters again, as a batch of their own.

    Raises:
        DeadLetterNotFound: the batch has none that could be sent.
    """
    entries = yield from dead_letters.select_entries(Selection(batch_id=batch_id))
    found: list[DeadLetter] = []
    for some in _runs(entries):
        found += yield from dead_letters.fetch(some)
    if not any(letter.change for letter in found):
        raise dead_letters.no_dead_letters_error(batch_id)
    again = dead_letters.retry_batch_id(batch_id, found)
    options = SubmitOptions(settings.lane_limit, Priority.BULK, batch_id=again, content=RETRY)
    yield from check_existing(again, options)
    report = ReplayReport([], [])
    numbered = [(letter, member_job_id(again, str(number))) for number, letter in enumerate(found)]
    gone: set[str] = set()
    lane_full_count = 0
    for start in range(0, len(numbered), READ_BATCH_SIZE):
        sent, full = yield from _send(numbered[start : start + READ_BATCH_SIZE], options, settings, report)
        gone |= sent
        lane_full_count += full
    yield from seal(again, options, lane_full_count=lane_full_count, result_ttl_ms=result_ttl_ms)
    yield from dead_letters.delete_entries([entry for entry in entries if entry.job_id in gone])
    index = {letter.job_id: number for number, letter in enumerate(found)}
    refused = [Refusal(index[job_id], ReplayRefused(f"{job_id}: {why}")) for job_id, why in report.refused]
    return FanOutReport(again, len(found), len(report.replayed), 0, refused)


def _send(
    named: list[tuple[DeadLetter, str]], options: SubmitOptions, settings: ProducerSettings, report: ReplayReport
) -> Plan[tuple[set[str], int]]:
    """Sends letters under the given IDs.

    Returns:
        Those that are gone by this, or were sent by somebody else before; and how many found their lane full.

    Raises:
        BatchConflict: their batch accepts nothing more; no letter is gone.
    """
    ((seconds, micros),) = yield Transaction([("TIME",)])
    now_ms, ttl_ms = seconds * 1000 + micros // 1000, change_ttl_ms(settings.change_ttl_s)
    changes = []
    for letter, job_id in named:
        change = _sendable(letter, report)
        if change is not None:
            one = Submission.from_change(change, job_id, options, now_ms=now_ms, ttl_ms=ttl_ms, letter=letter.job_id)
            changes.append((change, one))
    if not changes:
        return set(), 0
    _, *verdicts = yield submit([one for _, one in changes], options)
    gone = set()
    for (change, one), verdict in zip(changes, verdicts, strict=True):
        if verdict == SubmitVerdict.LANE_FULL:
            report.refused.append((one.letter, str(lane_full_error(change, options.lane_limit))))
            continue
        if verdict in (SubmitVerdict.OTHER_CONTENT, SubmitVerdict.SEALED, SubmitVerdict.CANCELLED):
            raise conflict_error(options.batch_id, SubmitVerdict(verdict))
        if verdict not in (SubmitVerdict.ALREADY_THERE, SubmitVerdict.DEAD_LETTER_GONE):
            report.replayed.append((one.letter, one.job_id))
        gone.add(one.letter)
    return gone, verdicts.count(SubmitVerdict.LANE_FULL)


def _sendable(letter: DeadLetter, report: ReplayReport) -> SettingsChange | None:
    if letter.change is None:
        report.refused.append((letter.job_id, "its payload cannot be read; drop it"))
        return None
    try:
        check(letter.change)
    except ProducerError as exc:
        report.refused.append((letter.job_id, str(exc)))
        return None
    return letter.change


def _runs(entries: list[IndexEntry]) -> Iterator[list[IndexEntry]]:
    return (entries[start : start + READ_BATCH_SIZE] for start in range(0, len(entries), READ_BATCH_SIZE))
