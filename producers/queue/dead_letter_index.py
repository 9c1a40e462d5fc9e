"""The indexes of dead letters: which of them are selected. They are read a part at a time, however long they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from producers.contract import ids
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Outcome
from producers.contract.stored_values import read_each, unix_ms
from producers.errors import DeadLetterNotFound
from producers.queue.dead_letter_causes import fetch_causes
from producers.queue.dead_letter_selection import NO_CODE, Selection
from producers.queue.jobs import locate
from producers.transport.commands import MGET, ZCARD, ZRANGE_WITHSCORES, ZSCORE
from producers.transport.plan import Plan, Transaction

PART_SIZE = 5000
"""Entries that one trip reads of each index: some milliseconds of Redis's time."""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A dead letter in the index of its outcome."""

    outcome: Outcome
    lane: str
    job_id: str
    ended_at_us: float


@dataclass(frozen=True, slots=True)
class IndexPart:
    """A part of the indexes.

    Attributes:
        entries: the selected entries of it, in order of time.
        looked_at: how many entries it has.
        malformed: how many of those that could be selected cannot be read.
        next_us: where the next part starts; None if there is none.
    """

    entries: list[IndexEntry]
    looked_at: int
    malformed: int
    next_us: float | None


def select_part(
    keys: Keyspace,
    selection: Selection,
    *,
    start_us: float | None = None,
    end_us: float | None = None,
    newest_first: bool = False,
    limit: int = PART_SIZE,
) -> Plan[IndexPart]:
    """Return the selected ones of the next entries of the indexes; in order of time, which keeps that of each lane.

    Args:
        keys: the keyspace.
        selection: which entries; of a job ID, all are looked at.
        start_us: the time to start from, the `next_us` of the part before.
        end_us: the last time.
        newest_first: go backwards.
        limit: how many entries to look at at most; more only if so many have the same time.
    """
    first, last = ("+inf", "-inf") if newest_first else ("-inf", "+inf")
    options = ("BYSCORE", "REV") if newest_first else ("BYSCORE",)
    while True:
        indexes = yield from Transaction(
            *[
                ZRANGE_WITHSCORES(
                    keys.dead_letters + outcome,
                    first if start_us is None else repr(start_us),
                    last if end_us is None else repr(end_us),
                    *options,
                    "LIMIT",
                    0,
                    limit + 1,
                )
                for outcome in selection.outcomes
            ]
        )
        rows = [
            (outcome, member, ended_at_us)
            for outcome, members in zip(selection.outcomes, indexes, strict=True)
            for member, ended_at_us in members
        ]
        rows.sort(key=lambda row: row[2], reverse=newest_first)
        next_us = None if len(rows) <= limit else rows[limit][2]
        part = rows if next_us is None else [row for row in rows[:limit] if row[2] != next_us]
        if part or not rows:
            break
        limit *= 2  # all have the same time
    needle = selection.needle
    entries = read_each([row for row in part if needle in row[1]], _index_entry)
    found = [entry for entry in entries if selection.matches(entry.lane, entry.job_id)]
    if selection.code is not None:
        causes = yield from fetch_causes(keys, [entry.job_id for entry in found])
        code = None if selection.code == NO_CODE else selection.code
        found = [entry for entry, cause in zip(found, causes, strict=True) if cause.code == code]
    return IndexPart(found, len(part), entries.malformed, next_us)


def visit(keys: Keyspace, selection: Selection, take: Callable[[list[IndexEntry]], Plan[None]]) -> Plan[int]:
    """Have all selected entries taken that are there now, oldest first, a part at a time.

    Returns:
        How many entries were left out, because they cannot be read; 0 if one is found by its job ID.

    Raises:
        DeadLetterNotFound: the selection names a job ID, and there is no such dead letter.
    """
    if selection.job_id is not None:
        one = yield from _find_one(keys, selection, selection.job_id)
        if one is not None:
            yield from take(one)
            return 0
    newest = selection.until_us
    if newest is None:
        newest = yield from newest_us(keys, selection)
    start_us, found, malformed = None, 0, 0
    while True:
        part = yield from select_part(keys, selection, start_us=start_us, end_us=newest, limit=PART_SIZE)
        yield from take(part.entries)
        found += len(part.entries)
        malformed += part.malformed
        start_us = part.next_us
        if start_us is None:
            break
    if selection.job_id is not None and not found:
        raise dead_letter_not_found_error(selection.job_id)
    return malformed


def newest_us(keys: Keyspace, selection: Selection) -> Plan[float | None]:
    """Return the time of the newest dead letter: what is added later is not of a list that begins now."""
    ends = yield from Transaction(
        *[ZRANGE_WITHSCORES(keys.dead_letters + outcome, -1, -1) for outcome in selection.outcomes]
    )
    return max((ended_at_us for members in ends for _, ended_at_us in members), default=None)


def count(keys: Keyspace, selection: Selection) -> Plan[int]:
    """Return how many entries are selected."""
    if selection.is_whole_index:
        counts = yield from Transaction(*[ZCARD(keys.dead_letters + outcome) for outcome in selection.outcomes])
        return sum(counts)
    total = 0
    if selection.outcome is None:  # one index after the other: their order does not matter
        for outcome in selection.outcomes:
            total += yield from count(keys, replace(selection, outcome=outcome))
        return total

    def take(entries: list[IndexEntry]) -> Plan[None]:
        nonlocal total
        total += len(entries)
        yield from ()

    yield from visit(keys, selection, take)
    return total


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
