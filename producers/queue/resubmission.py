"""The plan that submits dead letters again, under new IDs, and the report on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.contract.messages import SettingsChange
from producers.contract.validation import check_change
from producers.errors import ProducerError
from producers.queue.chunking import CONFLICTS, conflict_error, refusal_error
from producers.queue.dead_letters import DeadLetter
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.queue.submit_messages import SubmitVerdict
from producers.settings import ProducerSettings, change_ttl_ms
from producers.tracing import Sending
from producers.transport.commands import TIME_US
from producers.transport.plan import Plan


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

    @classmethod
    def merged(cls, parts: Sequence[ReplayReport]) -> ReplayReport:
        """Return the report on several shards."""
        return cls(
            [ids for part in parts for ids in part.replayed],
            [refusal for part in parts for refusal in part.refused],
            sum(part.malformed for part in parts),
        )


def resubmit(
    letters: Sequence[tuple[DeadLetter, str]],
    options: SubmitOptions,
    settings: ProducerSettings,
    report: ReplayReport,
    sending: Sending,
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
            trace = sending.begin(job_id, letter.traceparent or "")
            submission = Submission.from_change(
                change,
                job_id,
                options,
                now_ms=now_us // 1000,
                ttl_ms=ttl_ms,
                dead_letter_id=letter.job_id,
                traceparent=trace,
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
