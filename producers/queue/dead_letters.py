"""Plans about dead letters: changes that ended badly, kept with their payload. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from producers.contract import keyspace
from producers.contract.codec import decode_change
from producers.contract.messages import JobResult, Outcome, SettingsChange
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS
from producers.errors import DeadLetterNotFound, JobNotFound, MalformedChange
from producers.queue.chunking import content_digest
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.jobs import read_result
from producers.transport.plan import Plan, Transaction

READ_BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A change that ended badly.

    Attributes:
        job_id: its ID.
        user_id: its user.
        trader_id: its trader.
        outcome: rejected, unauthorized or exhausted.
        ended_at_ms: Unix milliseconds, Redis's clock.
        change: what was asked; None if it cannot be read.
        result: how it ended; None if its result has expired.
        replay_id: the ID that it is replayed with: always the same one, so that it is never replayed twice.
    """

    job_id: str
    user_id: str
    trader_id: str
    outcome: Outcome
    ended_at_ms: int
    change: SettingsChange | None
    result: JobResult | None
    replay_id: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters. All that is given must hold.

    Attributes:
        outcome: by cause.
        user_id: by user.
        batch_id: by batch.
        job_id: just this one.
    """

    @classmethod
    def from_arguments(
        cls, job_id: str | None, *, outcome: Outcome | None, user_id: str | None, batch_id: str | None, everything: bool
    ) -> Selection:
        """The selection of the arguments.

        Raises:
            TypeError: nothing was given; all of them are never meant by that.
        """
        chosen = cls(outcome, user_id, batch_id, job_id)
        if (chosen == cls()) is not everything:
            raise TypeError("give a job ID, or some of outcome=, user_id= and batch_id=, or just everything=True")
        return chosen

    outcome: Outcome | None = None
    user_id: str | None = None
    batch_id: str | None = None
    job_id: str | None = None

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """Where to look."""
        return DEAD_OUTCOMES if self.outcome is None else (Outcome(self.outcome),)

    def matches(self, lane: str, job_id: str) -> bool:
        """Whether a letter is selected."""
        return (
            (self.job_id is None or self.job_id == job_id)
            and (self.user_id is None or self.user_id == keyspace.user_and_trader(lane)[0])
            and (self.batch_id is None or self.batch_id == keyspace.batch_id_of(job_id))
        )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A letter as its index has it: its outcome, member and score (us)."""

    outcome: Outcome
    member: bytes
    score: float

    @property
    def lane(self) -> str:
        """Its lane."""
        return self.member.decode().partition(" ")[0]

    @property
    def job_id(self) -> str:
        """Its change."""
        return self.member.decode().partition(" ")[2]


def select_entries(selection: Selection) -> Plan[list[IndexEntry]]:
    """Return the selected index entries, oldest first: the order of their lanes.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such letter.
    """
    outcomes = selection.outcomes
    indexes = yield Transaction(
        [("ZRANGE", keyspace.DEAD_LETTERS + outcome, 0, -1, "WITHSCORES") for outcome in outcomes]
    )
    found = []
    for outcome, members in zip(outcomes, indexes, strict=True):
        entries = (IndexEntry(outcome, members[i], float(members[i + 1])) for i in range(0, len(members), 2))
        found += [entry for entry in entries if selection.matches(entry.lane, entry.job_id)]
    if selection.job_id is not None and not found:
        raise dead_letter_not_found_error(selection.job_id)
    return sorted(found, key=lambda entry: entry.score)


def get(job_id: str) -> Plan[DeadLetter]:
    """One letter.

    Raises:
        DeadLetterNotFound: it is not there.
    """
    found = yield from fetch((yield from select_entries(Selection(job_id=job_id))))
    if not found:
        raise dead_letter_not_found_error(job_id)
    return found[-1]


def drop(selection: Selection) -> Plan[int]:
    """Forgets letters; returns how many there were.

    Raises:
        DeadLetterNotFound: one letter was asked for, and is not there.
    """
    return (yield from delete_entries((yield from select_entries(selection))))


def fetch(entries: Sequence[IndexEntry]) -> Plan[list[DeadLetter]]:
    """The letters of some entries; those that have expired are left out, and forgotten."""
    if not entries:
        return []
    payloads, results = yield Transaction(
        [
            ("MGET", *(keyspace.DEAD_LETTER + entry.job_id for entry in entries)),
            ("MGET", *(keyspace.RESULT + entry.job_id for entry in entries)),
        ]
    )
    gone = [entry for entry, payload in zip(entries, payloads, strict=True) if payload is None]
    if gone:
        yield from delete_entries(gone)
    return [
        _letter(entry, payload, result)
        for entry, payload, result in zip(entries, payloads, results, strict=True)
        if payload is not None
    ]


def _letter(entry: IndexEntry, payload: bytes, stored: bytes | None) -> DeadLetter:
    try:
        change: SettingsChange | None = decode_change(payload).a[0]
    except MalformedChange:
        change = None
    try:
        result = None if stored is None else read_result(stored, entry.job_id)
    except JobNotFound:
        result = None
    user_id, trader_id = keyspace.user_and_trader(entry.lane)
    return DeadLetter(
        entry.job_id,
        user_id,
        trader_id,
        entry.outcome,
        int(entry.score // 1000),
        change,
        result,
        make_replay_id(entry.job_id, int(entry.score)),
    )


def make_replay_id(job_id: str, ended_us: int) -> str:
    """The ID that a letter is replayed with. It follows from the change and its end, for IDs are used again.

    "order-7" becomes "order-7~~60a3c1d2e4f5b", and that one, should it die too, "order-7~~" and the time of its own
    end. No other change's ID may hold the mark.
    """
    base = job_id if keyspace.BATCH_MARK in job_id else _before_last(keyspace.REPLAY_MARK, job_id)
    name = f"{base.replace(keyspace.BATCH_MARK, keyspace.REPLAY_MARK)}{keyspace.REPLAY_MARK}{ended_us:x}"
    if len(name) <= MAX_ID_CHARS:
        return name
    return f"{hashlib.sha256(job_id.encode()).hexdigest()[:32]}{keyspace.REPLAY_MARK}{ended_us:x}"


def _before_last(mark: str, text: str) -> str:
    before, found, after = text.rpartition(mark)
    return before if found else after


def delete_entries(entries: Sequence[IndexEntry]) -> Plan[int]:
    """Forgets letters; returns how many were still there."""
    dropped = 0
    for start in range(0, len(entries), READ_BATCH_SIZE):
        some = entries[start : start + READ_BATCH_SIZE]
        removals = [("ZREM", keyspace.DEAD_LETTERS + entry.outcome, entry.member) for entry in some]
        removed, *_ = yield Transaction([("DEL", *(keyspace.DEAD_LETTER + entry.job_id for entry in some)), *removals])
        dropped += removed
    return dropped


def count_by_outcome() -> Plan[dict[Outcome, int]]:
    """How many letters there are of each cause."""
    numbers = yield Transaction([("ZCARD", keyspace.DEAD_LETTERS + outcome) for outcome in DEAD_OUTCOMES])
    return dict(zip(DEAD_OUTCOMES, numbers, strict=True))


def retry_batch_id(batch_id: str, letters: Sequence[DeadLetter]) -> str:
    """The batch in which a batch's letters are sent again: the same letters, the same batch."""
    suffix = f".retry-{content_digest([letter.replay_id for letter in letters])[:8]}"
    return batch_id[: MAX_BATCH_ID_CHARS - len(suffix)] + suffix


def dead_letter_not_found_error(job_id: str) -> DeadLetterNotFound:
    """The error of a letter that is not there."""
    return DeadLetterNotFound(f"no dead letter {job_id}: it did not end badly, was replayed or dropped, or has expired")


def no_dead_letters_error(batch_id: str) -> DeadLetterNotFound:
    """The error of a batch without letters."""
    return DeadLetterNotFound(f"batch {batch_id} has no dead letters that could be sent again")
