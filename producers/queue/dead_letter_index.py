"""The indexes of dead letters: which of them are selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.contract import ids, keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Outcome
from producers.contract.stored_values import Listing, read_each, unix_ms
from producers.errors import DeadLetterNotFound
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.jobs import locate
from producers.transport.commands import MGET, ZRANGE_WITHSCORES, ZSCORE
from producers.transport.plan import Plan, Transaction


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the dead letters that match all of its attributes which are not None."""

    outcome: Outcome | None = None
    user_id: str | None = None
    batch_id: str | None = None
    job_id: str | None = None

    @classmethod
    def from_arguments(
        cls, job_id: str | None, *, outcome: Outcome | None, user_id: str | None, batch_id: str | None, everything: bool
    ) -> Selection:
        """Return the selection of the arguments of `DeadLetters.replay` and `DeadLetters.drop`.

        Raises:
            TypeError: nothing was given, or `everything` with something else.
        """
        selection = cls(outcome, user_id, batch_id, job_id)
        if (selection == cls()) is not everything:
            raise TypeError("give a job ID, or some of outcome=, user_id= and batch_id=, or just everything=True")
        return selection

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The outcomes whose indexes have to be read."""
        return DEAD_OUTCOMES if self.outcome is None else (Outcome(self.outcome),)

    def matches(self, lane: str, job_id: str) -> bool:
        """Return whether a dead letter is selected, apart from its outcome."""
        return (
            (self.job_id is None or self.job_id in (job_id, ids.other_form(job_id)))
            and (self.user_id is None or self.user_id == keyspace.user_and_trader(lane)[0])
            and (self.batch_id is None or self.batch_id == ids.batch_id_of(job_id))
        )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A dead letter in the index of its outcome."""

    outcome: Outcome
    lane: str
    job_id: str
    ended_at_us: float


def select_entries(keys: Keyspace, selection: Selection) -> Plan[Listing[IndexEntry]]:
    """Return the selected index entries, oldest first, which keeps the order of each lane.

    What cannot be read is counted, unless one is found by its job ID.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such dead letter.
    """
    if selection.job_id is not None:
        one = yield from _find_one(keys, selection, selection.job_id)
        if one is not None:
            return Listing(one)
    indexes = yield from Transaction(
        *[ZRANGE_WITHSCORES(keys.dead_letters + outcome, 0, -1) for outcome in selection.outcomes]
    )
    entries = read_each(
        [
            (outcome, member, ended_at_us)
            for outcome, members in zip(selection.outcomes, indexes, strict=True)
            for member, ended_at_us in members
        ],
        _index_entry,
    )
    found = [entry for entry in entries if selection.matches(entry.lane, entry.job_id)]
    if selection.job_id is not None and not found:
        raise dead_letter_not_found_error(selection.job_id)
    return Listing(sorted(found, key=lambda entry: entry.ended_at_us), malformed=entries.malformed)


def _find_one(keys: Keyspace, selection: Selection, job_id: str) -> Plan[list[IndexEntry] | None]:
    """Return the index entries of one dead letter by the lane in its payload: the indexes may be long.

    None if a payload does not tell its lane: then the indexes must be searched.

    Raises:
        DeadLetterNotFound: there is no such dead letter.
    """
    other = ids.other_form(job_id)
    names = [job_id] if other is None else [job_id, other]
    payloads = yield from MGET(*(keys.dead_letter + name for name in names))
    found: list[IndexEntry] = []
    for name, payload in zip(names, payloads, strict=True):
        if payload is None:
            continue
        located = locate(payload, name)
        if located is None:
            return None
        lane, _ = located
        members = [ZSCORE(keys.dead_letters + outcome, f"{lane} {name}") for outcome in selection.outcomes]
        scores = yield from Transaction(*members)
        found += [
            IndexEntry(outcome, lane, name, ended_at_us)
            for outcome, ended_at_us in zip(selection.outcomes, scores, strict=True)
            if ended_at_us is not None and selection.matches(lane, name)
        ]
    if not found:
        raise dead_letter_not_found_error(job_id)
    return found


def _index_entry(row: tuple[Outcome, bytes, float]) -> IndexEntry:
    outcome, member, ended_at_us = row
    unix_ms(ended_at_us / 1000)
    lane, blank, job_id = member.decode().partition(" ")
    if not blank:
        raise ValueError(f"{member!r} is not a lane and a job ID")
    return IndexEntry(outcome, lane, job_id, ended_at_us)


def dead_letter_not_found_error(job_id: str) -> DeadLetterNotFound:
    """Return the error for a dead letter that does not exist."""
    return DeadLetterNotFound(f"no dead letter {job_id}: it did not end badly, was replayed or dropped, or has expired")
