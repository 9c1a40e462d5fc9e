"""Dead letters for people: the newest ones page by page, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from producers.contract import ids, keyspace
from producers.contract.keyspace import Keyspace
from producers.queue import dead_letters
from producers.queue.dead_letter_causes import NO_CAUSE, Cause, fetch_causes
from producers.queue.dead_letter_index import IndexEntry, IndexPart, select_part
from producers.queue.dead_letter_selection import NO_CODE, Selection
from producers.queue.dead_letters import DeadLetter
from producers.transport.plan import Plan

LOOK_AT = 2000
"""How many of the newest dead letters a page looks at: some 20 ms of work."""


class DeadLetterGrouping(StrEnum):
    """What dead letters are grouped by."""

    CAUSE = "cause"
    USER = "user"
    BATCH = "batch"
    TRADER = "trader"


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Some dead letters.

    Attributes:
        letters: the dead letters, newest first.
        looked_at: how many were looked at for them.
        next_us: where the next page starts; None if there is none.
    """

    letters: list[DeadLetter]
    looked_at: int
    next_us: float | None


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters that have something in common.

    Attributes:
        count: how many they are.
        filters: the arguments of `DeadLetters.list` that select them; empty if none does.
        message: of the newest; only of groups by cause.
    """

    count: int
    filters: dict[str, str]
    message: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetterGroups:
    """The groups of the newest dead letters.

    Attributes:
        groups: the groups, largest first.
        looked_at: how many dead letters were looked at: the newest.
        complete: whether those are all.
    """

    groups: list[DeadLetterGroup]
    looked_at: int
    complete: bool


def newest_page(
    keys: Keyspace, selection: Selection, *, start_us: float | None, limit: int, look_at: int = LOOK_AT
) -> Plan[DeadLetterPage]:
    """Return the newest selected dead letters from a time on backwards.

    Args:
        keys: the keyspace.
        selection: which dead letters.
        start_us: the `next_us` of the page before; None for the newest.
        limit: how many to return at most; more only if all have the same time.
        look_at: how many to look at for them.
    """
    look_at = limit if selection.is_whole_index else look_at
    part = yield from select_part(keys, selection, start_us=start_us, newest_first=True, limit=look_at)
    shown, next_us = shorten(part.entries, part.next_us, limit)
    letters = yield from dead_letters.fetch(keys, shown)
    return DeadLetterPage(letters, part.looked_at, next_us)


def shorten(entries: list[IndexEntry], next_us: float | None, limit: int) -> tuple[list[IndexEntry], float | None]:
    """Return the first entries of a part that goes backwards, and where the next page starts."""
    if len(entries) <= limit:
        return entries, next_us
    next_us = entries[limit].ended_at_us
    return [entry for entry in entries[:limit] if entry.ended_at_us != next_us], next_us


def merge_parts(parts: Sequence[IndexPart], limit: int) -> tuple[list[IndexEntry], float | None]:
    """Return the newest entries of the parts of several shards, and where the next page starts.

    Where a shard was not read to its end, the older entries of the others wait for the next page.
    """
    next_us = max((part.next_us for part in parts if part.next_us is not None), default=None)
    entries = [entry for part in parts for entry in part.entries if next_us is None or entry.ended_at_us > next_us]
    entries.sort(key=lambda entry: entry.ended_at_us, reverse=True)
    return shorten(entries, next_us, limit)


def merge_groups(parts: Sequence[DeadLetterGroups]) -> DeadLetterGroups:
    """Return the groups of the newest dead letters of several shards."""
    if len(parts) == 1:
        return parts[0]
    found: dict[tuple[tuple[str, str], ...], DeadLetterGroup] = {}
    for group in (group for part in parts for group in part.groups):
        kind = tuple(sorted(group.filters.items()))
        earlier = found.get(kind)
        found[kind] = group if earlier is None else replace(earlier, count=earlier.count + group.count)
    groups = sorted(found.values(), key=lambda group: group.count, reverse=True)
    return DeadLetterGroups(groups, sum(part.looked_at for part in parts), all(part.complete for part in parts))


def group_newest(
    keys: Keyspace, selection: Selection, by: DeadLetterGrouping, *, look_at: int = LOOK_AT
) -> Plan[DeadLetterGroups]:
    """Return how many of the selected dead letters are of each kind, among the newest `look_at`."""
    part = yield from select_part(keys, selection, newest_first=True, limit=look_at)
    causes = [NO_CAUSE] * len(part.entries)
    if by is DeadLetterGrouping.CAUSE:
        causes = yield from fetch_causes(keys, [entry.job_id for entry in part.entries])
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    messages: dict[tuple[tuple[str, str], ...], str] = {}
    for entry, cause in zip(part.entries, causes, strict=True):
        kind = _kind(entry, cause, by)
        counts[kind] += 1
        messages.setdefault(kind, cause.message)
    groups = [DeadLetterGroup(count, dict(kind), messages[kind]) for kind, count in counts.most_common()]
    return DeadLetterGroups(groups, part.looked_at, complete=part.next_us is None)


def _kind(entry: IndexEntry, cause: Cause, by: DeadLetterGrouping) -> tuple[tuple[str, str], ...]:
    match by:
        case DeadLetterGrouping.CAUSE:
            return ("outcome", entry.outcome.value), ("code", cause.code or NO_CODE)
        case DeadLetterGrouping.USER:
            return (("user_id", keyspace.user_and_trader(entry.lane)[0]),)
        case DeadLetterGrouping.TRADER:
            return (("trader_id", keyspace.user_and_trader(entry.lane)[1]),)
        case DeadLetterGrouping.BATCH:
            batch_id = ids.batch_id_of(entry.job_id)
            return () if batch_id is None else (("batch_id", batch_id),)
