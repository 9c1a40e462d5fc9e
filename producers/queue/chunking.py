"""Taking in many changes: items in, chunks of submissions out; verdicts in, a report out. No I/O, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from producers.contract.messages import SettingsChange
from producers.errors import BatchConflict, InvalidChange, InvalidId, LaneFull
from producers.queue.reports import Refusal
from producers.queue.submit import (
    ALREADY_THERE,
    CANCELLED,
    LANE_FULL,
    NO_LINK,
    OTHER_CONTENT,
    SEALED,
    Link,
    Submission,
    Terms,
    submit,
)
from producers.transport.plan import Call, Plan

CHUNK = 500
"""Items a round trip: enough to make the trip negligible, short enough (5 ms) not to hold up others in Redis."""

DIGEST_CHARS = 16


class Source(Protocol):
    """What an item means."""

    def read(self, index: int, item: Any) -> tuple[SettingsChange, str]:
        """The change and its job ID.

        Raises:
            InvalidChange: it breaks a rule.
            InvalidId: its ID cannot be one.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of a chunk, with its item's index."""

    index: int
    change: SettingsChange
    submission: Submission


@dataclass(slots=True)
class Chunk:
    """Changes that are submitted in one trip.

    Attributes:
        number: counts the chunks of an intake, from 0.
        entries: the changes.
    """

    number: int
    entries: list[Entry] = field(default_factory=list)


class Intake:
    """Collects items into chunks, and keeps the account of what became of them.

    Attributes:
        given: how many items there were.
        accepted: how many are in their lanes by this.
        already_there: how many were accepted before.
        refused: which are not accepted, and why.
        short: how many of these found their lane full.
    """

    def __init__(self, source: Source, terms: Terms, *, ttl_ms: int, now_ms: Callable[[], int], fixed: bool) -> None:
        """An empty intake.

        Args:
            source: what an item means.
            terms: what holds for all changes.
            ttl_ms: deadline of each, counted from now.
            now_ms: the time on Redis's clock, Unix milliseconds.
            fixed: whether every run must give the same chunks.
        """
        self.given = 0
        self.accepted = 0
        self.already_there = 0
        self.refused: list[Refusal] = []
        self.short = 0
        self._source = source
        self._terms = terms
        self._ttl_ms = ttl_ms
        self._now_ms = now_ms
        self._fixed = fixed
        self._chunk = Chunk(0)
        self._last = NO_LINK

    def take(self, item: Any) -> Chunk | None:
        """Takes an item in; returns a chunk when one is full."""
        index = self.given
        self.given += 1
        try:
            change, job_id = self._source.read(index, item)
        except (InvalidChange, InvalidId) as exc:
            self.refused.append(Refusal(index, exc, user_of(item)))
        else:
            submission = Submission.of(change, job_id, self._terms, now_ms=self._now_ms(), ttl_ms=self._ttl_ms)
            self._chunk.entries.append(Entry(index, change, submission))
        # By items, not by entries: a chunk must hold the same items in every run.
        return self.rest() if self.given % CHUNK == 0 else None

    def rest(self) -> Chunk | None:
        """The chunk that was begun, if there is something in it."""
        if not self._chunk.entries:
            return None
        chunk, self._chunk = self._chunk, Chunk(self._chunk.number + 1)
        return chunk

    def call(self, chunk: Chunk) -> Call:
        """The call that submits a chunk."""
        submissions = [entry.submission for entry in chunk.entries]
        if not self._fixed:
            return submit(submissions, self._terms)
        content = [(entry.index, entry.change) for entry in chunk.entries]
        before = self._last
        self._last = Link(f"c{chunk.number}", digest_of([before.digest, content]))
        return submit(submissions, self._terms, chunk=self._last, after=before)

    def record(self, chunk: Chunk, reply: list[int]) -> list[tuple[str, bool]]:
        """Takes the script's verdicts in; returns the job IDs that are in their lanes, and whether they were before.

        Raises:
            BatchConflict: the batch took nothing of the chunk.
        """
        landed = []
        for entry, verdict in zip(chunk.entries, reply[1:], strict=True):
            if verdict in _CONFLICTS:
                raise conflict(self._terms.batch_id, verdict, self.accepted)
            if verdict == LANE_FULL:
                full = lane_full(entry.change, self._terms.lane_limit)
                self.refused.append(Refusal(entry.index, full, entry.change.user_id))
                self.short += 1
                continue
            self.already_there += verdict == ALREADY_THERE
            self.accepted += verdict != ALREADY_THERE
            landed.append((entry.submission.job_id, verdict == ALREADY_THERE))
        return landed


def take_in(
    intake: Intake, items: Iterable[Any], told: Callable[[], None] = lambda: None
) -> Plan[list[tuple[str, bool]]]:
    """Submits items in their order, a trip for each chunk; which job IDs are in their lanes, and which were before.

    Args:
        intake: takes them.
        items: in their order; not held in memory.
        told: called after each chunk.

    Raises:
        BatchConflict: the batch took nothing of a chunk.
    """
    landed: list[tuple[str, bool]] = []
    for item in items:
        chunk = intake.take(item)
        if chunk is not None:
            landed += intake.record(chunk, (yield intake.call(chunk)))
            told()
    chunk = intake.rest()
    if chunk is not None:
        landed += intake.record(chunk, (yield intake.call(chunk)))
        told()
    return landed


_CONFLICTS = {
    OTHER_CONTENT: "it was begun with other content",
    SEALED: "it is sealed and this would add to it",
    CANCELLED: "it was cancelled and accepts nothing more",
}


def conflict(batch_id: str, verdict: int, accepted: int = 0) -> BatchConflict:
    """The error of a verdict on a whole chunk, after so many changes were accepted."""
    done = f"{accepted} changes before that were added" if accepted else "nothing was changed"
    return BatchConflict(f"batch {batch_id}: {_CONFLICTS[verdict]}; {done}. Fan out under another batch_id")


def lane_full(change: SettingsChange, limit: int) -> LaneFull:
    """The error of a lane that holds as many changes as it may."""
    return LaneFull(
        f"the lane of user {change.user_id} and trader {change.trader_id} holds"
        f" {limit} changes; enqueue again when it has drained"
    )


def digest_of(content: object) -> str:
    """A digest by which the same content is known again."""
    return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()[:DIGEST_CHARS]


def user_of(item: object) -> str | None:
    """Whose an item is, where that can be told."""
    user_id = item.user_id if isinstance(item, SettingsChange) else item
    return user_id if isinstance(user_id, str) else None
