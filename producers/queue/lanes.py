"""Reading lanes: their heads with the counts, and whether they are in flight. As lane.lua writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority
from producers.transport.commands import HGET
from producers.transport.plan import Plan, Transaction

MAX_COALESCED = 99
"""Maximum of changes that are read behind a head. A request holds ten settings, but replaced ones do not count."""


class LaneScore(IntEnum):
    """Scores of lanes that are not times. Shared with lane.lua."""

    IN_FLIGHT = 9_000_000_000_000_000
    PARKED = 8_000_000_000_000_000


_match_head = re.compile(rb"(\d+) (\d+) \d+ [01] ([ib]c?t?\d* ([!-~]+))").fullmatch


@dataclass(frozen=True, slots=True)
class LaneHead:
    """A lane's head, and the lane's counts.

    Attributes:
        changes: how many changes the lane holds.
        interactive: how many of them are interactive.
        job_id: the head; None if it cannot be read.
        entry: the entry of the head; "" if it cannot be read.
    """

    changes: int
    interactive: int
    job_id: str | None
    entry: str = ""

    @property
    def priority(self) -> Priority:
        """The priority of the lane."""
        return Priority.INTERACTIVE if self.interactive else Priority.BULK


def parse_head(stored: bytes) -> LaneHead:
    """Return a stored head."""
    found = _match_head(stored)
    if found is None:
        return LaneHead(1, 1, None)
    return LaneHead(int(found[1]), int(found[2]), found[4].decode(), found[3].decode())


def fetch_heads(keys: Keyspace, lanes: Sequence[str]) -> Plan[list[LaneHead | None]]:
    """Return the heads of lanes, None for those that are empty."""
    if not lanes:
        return []
    stored = yield from Transaction(*[HGET(keys.heads + user, trader) for user, trader in map(parts, lanes)])
    return [None if head is None else parse_head(head) for head in stored]


def parts(lane: str) -> tuple[str, str]:
    """Return the user and the trader of a lane, escaped as in its name."""
    user, _, trader = lane.partition(":")
    return user, trader


def entry(job_id: str, *, is_bulk: bool, is_coalescable: bool) -> str:
    """Return the entry of a change that has a payload."""
    return f"{'b' if is_bulk else 'i'}{'c' if is_coalescable else ''} {job_id}"


def job_id_of_entry(stored: bytes) -> str:
    """Return the job ID of an entry.

    Raises:
        ValueError: it is none.
    """
    _, found, job_id = stored.decode().partition(" ")
    if not found:
        raise ValueError(f"{stored!r} is not an entry of a lane")
    return job_id


def template_entries(job_id: str, runs: int) -> list[str]:
    """Return the entries that a change of its batch's template may have: the options of each run are not stored.

    Args:
        job_id: the change.
        runs: how many runs the fan-out has had.
    """
    return [f"{flags}t{run} {job_id}" for run in range(1, runs + 1) for flags in ("b", "i", "bc", "ic")]


def priority_of_entry(entry: str) -> Priority:
    """Return the priority of a change by its entry."""
    return Priority.BULK if entry.startswith("b") else Priority.INTERACTIVE


def run_of_entry(entry: str) -> int:
    """Return the run of the fan-out that enqueued a change of a template, from 1, by its entry."""
    return int(entry.partition(" ")[0].partition("t")[2])
