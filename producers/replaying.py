"""Plans that send dead letters again: into their lanes, or as a batch of their own. No I/O.

A letter is sent with an ID that follows from it, and forgotten after that: whatever fails between the two, or is done
twice, it is sent once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from producers import letters
from producers.batches import begin, seal
from producers.contract import Priority
from producers.errors import ProducerError
from producers.fan_out import ByIndex, FanOut, FanOutReport
from producers.intake import Intake, lane_full, take_in
from producers.letters import LETTERS_A_TRIP, DeadLetter, Entry, Selection
from producers.rules import check
from producers.settings import ProducerSettings, change_ttl_ms
from producers.submission import LANE_FULL, Submission, Terms, submit
from producers.trips import Commands, Plan


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What became of replaying dead letters.

    Attributes:
        replayed: old and new job ID of each that is in its lane again.
        refused: job ID of each that is not, and why.
    """

    replayed: list[tuple[str, str]]
    refused: list[tuple[str, str]]


def replay(selection: Selection, settings: ProducerSettings) -> Plan[ReplayReport]:
    """Puts letters at the ends of their lanes, in their order.

    Raises:
        DeadLetterNotFound: there is no letter of the selection's job ID.
    """
    entries = yield from letters.find(selection)
    priority = Priority.BULK if selection.job_id is None else Priority.INTERACTIVE
    report = ReplayReport([], [])
    for some in _runs(entries):
        found = yield from letters.read(some)
        sendable = [letter for letter in found if _is_sendable(letter, report)]
        yield from _send(sendable, Terms(settings.lane_limit, priority), settings, report)
        sent = {old for old, _ in report.replayed}
        yield from letters.drop([entry for entry in some if entry.job_id in sent])
    return report


def _is_sendable(letter: DeadLetter, report: ReplayReport) -> bool:
    if letter.change is None:
        report.refused.append((letter.job_id, "its payload cannot be read; drop it"))
        return False
    try:
        check(letter.change)
    except ProducerError as exc:
        report.refused.append((letter.job_id, str(exc)))
        return False
    return True


def _send(found: list[DeadLetter], terms: Terms, settings: ProducerSettings, report: ReplayReport) -> Plan[None]:
    ((seconds, micros),) = yield Commands([("TIME",)])
    now_ms, ttl_ms = seconds * 1000 + micros // 1000, change_ttl_ms(settings.change_ttl_s)
    changes = [(letter, letter.change) for letter in found if letter.change is not None]
    if not changes:
        return
    submissions = [
        Submission.of(change, letter.replay_id, terms, now_ms=now_ms, ttl_ms=ttl_ms) for letter, change in changes
    ]
    _, *verdicts = yield submit(submissions, terms)
    for (letter, change), verdict in zip(changes, verdicts, strict=True):
        if verdict == LANE_FULL:
            report.refused.append((letter.job_id, str(lane_full(change, terms.lane_limit))))
        else:
            report.replayed.append((letter.job_id, letter.replay_id))


def retry(batch_id: str, settings: ProducerSettings, life_ms: int) -> Plan[FanOutReport]:
    """Sends a batch's letters again, as a batch of their own: the same letters, the same batch.

    Raises:
        DeadLetterNotFound: the batch has none that could be sent.
    """
    entries = yield from letters.select(Selection(batch_id=batch_id))
    found: list[DeadLetter] = []
    for some in _runs(entries):
        found += yield from letters.read(some)
    sendable = [letter for letter in found if letter.change is not None]
    if not sendable:
        raise letters.none_of(batch_id)
    again = letters.retry_batch_id(batch_id, sendable)
    content = FanOut([], None).content
    terms = Terms(settings.lane_limit, Priority.BULK, batch_id=again, content=content)
    ((seconds, micros),) = yield Commands([("TIME",)])
    now_ms = seconds * 1000 + micros // 1000
    ttl_ms = change_ttl_ms(settings.change_ttl_s)
    intake = Intake(ByIndex(again), terms, ttl_ms=ttl_ms, now_ms=lambda: now_ms, fixed=True)
    yield from begin(again, terms)
    yield from take_in(intake, (letter.change for letter in sendable))
    yield from seal(again, terms, short=intake.short, life_ms=life_ms)
    refused = {refusal.index for refusal in intake.refused}
    sent = {letter.job_id for index, letter in enumerate(sendable) if index not in refused}
    yield from letters.drop([entry for entry in entries if entry.job_id in sent])
    return FanOutReport.of(again, intake)


def _runs(entries: list[Entry]) -> Iterator[list[Entry]]:
    return (entries[start : start + LETTERS_A_TRIP] for start in range(0, len(entries), LETTERS_A_TRIP))
