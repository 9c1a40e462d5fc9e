"""Chunks of a submission: which changes are submitted together, and what identifies them. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from producers.contract.codec import DIGEST_CHARS
from producers.contract.messages import SettingsChange
from producers.queue.submit import NO_DIGEST, ChunkDigest, Submission, TemplateRun

CHUNK_SIZE = 250
"""Items a round trip. The script then blocks Redis for some 4 ms."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of a chunk, with the index of its item; `change` is None if it is the template's."""

    index: int
    submission: Submission
    change: SettingsChange | None


@dataclass
class Chunk:
    """Changes of one shard that are submitted in one round trip; the chunks of a shard are numbered from 0."""

    number: int
    shard: int = 0
    entries: list[Entry] = field(default_factory=list)

    @cached_property
    def lanes(self) -> frozenset[str]:
        """The lanes of its changes."""
        return frozenset(entry.submission.lane for entry in self.entries)


@dataclass(slots=True)
class ShardChunks:
    """The chunks of one shard.

    Attributes:
        shard: its number.
        run: the run of the template in this shard; None until it begins.
    """

    shard: int
    run: TemplateRun | None = None
    _item_count: int = field(default=0, init=False)
    _chunk: Chunk = field(init=False)
    _previous: ChunkDigest = field(default=NO_DIGEST, init=False)

    def __post_init__(self) -> None:
        self._chunk = Chunk(0, self.shard)

    def add(self, entry: Entry | None) -> Chunk | None:
        """Add an item: its entry, or None if it is refused. Return the chunk that it completes, if any."""
        self._item_count += 1
        if entry is not None:
            self._chunk.entries.append(entry)
        # Counts items, not entries: a chunk must hold the same items in every run.
        return self.flush() if self._item_count % CHUNK_SIZE == 0 else None

    def flush(self) -> Chunk | None:
        """Return the chunk that is not complete yet, None if it is empty."""
        if not self._chunk.entries:
            return None
        chunk, self._chunk = self._chunk, Chunk(self._chunk.number + 1, self.shard)
        return chunk

    def digests(self, chunk: Chunk) -> tuple[ChunkDigest, ChunkDigest]:
        """Return what identifies a chunk and the one before. Call it once for each, in order: they are chained."""
        previous = self._previous
        content = [(entry.index, entry.change) for entry in chunk.entries]
        self._previous = ChunkDigest(f"c{chunk.number}", content_digest([previous.digest, content]))
        return self._previous, previous


def content_digest(content: object) -> str:
    """Return a digest that is the same for the same content."""
    return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()[:DIGEST_CHARS]
