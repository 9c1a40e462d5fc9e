"""Taking in many changes: items in, chunks of submissions out; verdicts in, a report out. No I/O, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from producers.contract.messages import SettingsChange
from producers.errors import BatchConflict, InvalidChange, InvalidId, LaneFull, Refusal
from producers.queue.submit import NO_DIGEST, ChunkDigest, Submission, SubmitOptions, SubmitVerdict, submit
from producers.transport.plan import RunScript

CHUNK_SIZE = 500
"""Items a round trip: enough to make the trip negligible, short enough (5 ms) not to hold up others in Redis."""

DIGEST_CHARS = 16


class ItemParser(Protocol):
    """What an item means."""

    def parse(self, index: int, item: Any) -> tuple[SettingsChange, str]:
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


class ChunkedSubmission:
    """Collects items into chunks, and keeps the account of what became of them.

    Attributes:
        item_count: how many items there were.
        accepted: how many are in their lanes by this.
        already_there: how many were accepted before.
        refused: which are not accepted, and why.
        lane_full_count: how many of these found their lane full.
    """

    def __init__(
        self, parser: ItemParser, options: SubmitOptions, *, ttl_ms: int, now_ms: Callable[[], int], fixed: bool
    ) -> None:
        """An empty intake.

        Args:
            parser: what an item means.
            options: what holds for all changes.
            ttl_ms: deadline of each, counted from now.
            now_ms: the time on Redis's clock, Unix milliseconds.
            fixed: whether every run must give the same chunks.
        """
        self.item_count = 0
        self.accepted = 0
        self.already_there = 0
        self.refused: list[Refusal] = []
        self.lane_full_count = 0
        self._parser = parser
        self._options = options
        self._ttl_ms = ttl_ms
        self._now_ms = now_ms
        self._fixed = fixed
        self._chunk = Chunk(0)
        self._last = NO_DIGEST

    def add(self, item: Any) -> Chunk | None:
        """Takes an item in; returns a chunk when one is full."""
        index = self.item_count
        self.item_count += 1
        try:
            change, job_id = self._parser.parse(index, item)
        except (InvalidChange, InvalidId) as exc:
            self.refused.append(Refusal(index, exc, item_user_id(item)))
        else:
            submission = Submission.from_change(
                change, job_id, self._options, now_ms=self._now_ms(), ttl_ms=self._ttl_ms
            )
            self._chunk.entries.append(Entry(index, change, submission))
        # By items, not by entries: a chunk must hold the same items in every run.
        return self.flush() if self.item_count % CHUNK_SIZE == 0 else None

    def flush(self) -> Chunk | None:
        """The chunk that was begun, if there is something in it."""
        if not self._chunk.entries:
            return None
        chunk, self._chunk = self._chunk, Chunk(self._chunk.number + 1)
        return chunk

    def step(self, chunk: Chunk) -> RunScript[list[int]]:
        """The call that submits a chunk."""
        submissions = [entry.submission for entry in chunk.entries]
        if not self._fixed:
            return submit(submissions, self._options)
        content = [(entry.index, entry.change) for entry in chunk.entries]
        before = self._last
        self._last = ChunkDigest(f"c{chunk.number}", content_digest([before.digest, content]))
        return submit(submissions, self._options, chunk=self._last, after=before)

    def apply_reply(self, chunk: Chunk, reply: list[int]) -> list[tuple[str, bool]]:
        """Takes the script's verdicts in; returns the job IDs that are in their lanes, and whether they were before.

        Raises:
            BatchConflict: the batch took nothing of the chunk.
        """
        landed = []
        for entry, verdict in zip(chunk.entries, reply[1:], strict=True):
            if verdict in _CONFLICTS:
                raise conflict_error(self._options.batch_id, SubmitVerdict(verdict), self.accepted)
            if verdict == SubmitVerdict.LANE_FULL:
                full = lane_full_error(entry.change, self._options.lane_limit)
                self.refused.append(Refusal(entry.index, full, entry.change.user_id))
                self.lane_full_count += 1
                continue
            self.already_there += verdict == SubmitVerdict.ALREADY_THERE
            self.accepted += verdict != SubmitVerdict.ALREADY_THERE
            landed.append((entry.submission.job_id, verdict == SubmitVerdict.ALREADY_THERE))
        return landed


_CONFLICTS = {
    SubmitVerdict.OTHER_CONTENT: "it was begun with other content",
    SubmitVerdict.SEALED: "it is sealed and this would add to it",
    SubmitVerdict.CANCELLED: "it was cancelled and accepts nothing more",
}


def conflict_error(batch_id: str, verdict: SubmitVerdict, accepted: int = 0) -> BatchConflict:
    """The error of a verdict on a whole chunk, after so many changes were accepted."""
    done = f"{accepted} changes before that were added" if accepted else "nothing was changed"
    return BatchConflict(f"batch {batch_id}: {_CONFLICTS[verdict]}; {done}. Fan out under another batch_id")


def lane_full_error(change: SettingsChange, limit: int) -> LaneFull:
    """The error of a lane that holds as many changes as it may."""
    return LaneFull(
        f"the lane of user {change.user_id} and trader {change.trader_id} holds"
        f" {limit} changes; enqueue again when it has drained"
    )


def content_digest(content: object) -> str:
    """A digest by which the same content is known again."""
    return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()[:DIGEST_CHARS]


def item_user_id(item: object) -> str | None:
    """Whose an item is, where that can be told."""
    user_id = item.user_id if isinstance(item, SettingsChange) else item
    return user_id if isinstance(user_id, str) else None
