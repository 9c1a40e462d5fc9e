"""Keeping the sealed records: setting, listing, removing, and sealing them anew under the first key of the ring."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from worker.clock import Clock, SystemClock
from worker.credentials.key_ring import KeyRing
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.credentials.sealing import parse, seal, unseal
from worker.errors import MalformedRecord

AT_ONCE = 16
"""Records that are sealed anew at the same time, each over a connection of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSummary:
    """What can be told of a user's record; nothing of it is secret.

    Attributes:
        user_id: whose it is.
        key_id: the key that it is sealed with; None if the record does not even tell.
        set_at_ms: when the credentials were set, Unix time; kept when a record is sealed anew.
        demo: whether they are of demo trading; None if the record does not open.
        fingerprint: changes when the credentials do; None if the record does not open.
        problem: why it does not open, and what to do; empty if it does.
    """

    user_id: str
    key_id: str | None = None
    set_at_ms: int | None = None
    demo: bool | None = None
    fingerprint: str | None = None
    problem: str = ""


@dataclass(slots=True)
class RotationReport:
    """What became of the records.

    Attributes:
        first_key: the key that seals.
        rotated: how many were sealed anew.
        already: how many had the first key already.
        unreadable: those that do not open with any key of the ring; they were left as they are.
    """

    first_key: str
    rotated: int = 0
    already: int = 0
    unreadable: list[RecordSummary] = field(default_factory=list)


@dataclass(slots=True)
class KeyUsage:
    """Under which keys the records are.

    Attributes:
        first_key: the key that seals.
        by_key: how many records are under each key, by its ID.
        left: how many are not under the first.
        unreadable: those that are no records at all.
    """

    first_key: str
    by_key: Counter[str] = field(default_factory=Counter)
    unreadable: list[RecordSummary] = field(default_factory=list)

    left: int = 0


class CredentialAdmin:
    """Writes and reads records with a key ring.

    Every method raises RedisError or OSError if Redis does not answer; each can be repeated.
    """

    def __init__(self, records: SealedRecords, ring: KeyRing, clock: Clock | None = None) -> None:
        self._records = records
        self._ring = ring
        self._clock = clock or SystemClock()

    @property
    def first_key(self) -> str:
        """The ID of the key that seals."""
        return self._ring.first.key_id

    async def put(self, users: Sequence[Credentials]) -> int:
        """Seals and writes credentials, in place of what the users had; returns how many had none."""
        now_ms = self._clock.wall_ms()
        return await self._records.put([(user.user_id, seal(user, self._ring, set_at_ms=now_ms)) for user in users])

    async def list_records(self) -> AsyncIterator[RecordSummary]:
        """All users' records, each once, in no order."""
        seen: set[str] = set()
        async for page in self._records.pages():
            for user_id, record in page:
                if user_id not in seen:
                    seen.add(user_id)
                    yield self._entry(user_id, record)

    async def key_usage(self) -> KeyUsage:
        """Under which keys the records are; none is opened."""
        found = KeyUsage(self.first_key)
        seen: set[str] = set()
        async for page in self._records.pages():
            for user_id, record in page:
                if user_id in seen:
                    continue
                seen.add(user_id)
                try:
                    found.by_key[parse(record, user_id).key_id] += 1
                except MalformedRecord as exc:
                    found.unreadable.append(RecordSummary(user_id=user_id, problem=exc.problem))
        found.left = found.by_key.total() - found.by_key[found.first_key] + len(found.unreadable)
        return found

    async def rotate(self) -> RotationReport:
        """Seals anew what is not under the first key. What is set meanwhile stays; broken off, it can be repeated."""
        rotation = RotationReport(self.first_key)
        seen: set[str] = set()
        async for page in self._records.pages():
            fresh = [(user_id, record) for user_id, record in page if user_id not in seen]
            seen.update(user_id for user_id, _ in fresh)
            for start in range(0, len(fresh), AT_ONCE):
                await asyncio.gather(*(self._rotate(*each, rotation) for each in fresh[start : start + AT_ONCE]))
        return rotation

    async def _rotate(self, user_id: str, read: bytes, rotation: RotationReport) -> None:
        record: bytes | None = read
        while record is not None:
            try:
                found = parse(record, user_id)
                if found.key_id == self.first_key:
                    rotation.already += 1
                    return
                credentials = unseal(record, user_id, self._ring)
            except MalformedRecord:
                rotation.unreadable.append(self._entry(user_id, record))
                return
            if await self._records.replace(user_id, record, seal(credentials, self._ring, set_at_ms=found.set_at_ms)):
                rotation.rotated += 1
                return
            record = await self._records.get(user_id)  # somebody set or removed it

    def _entry(self, user_id: str, record: bytes) -> RecordSummary:
        try:
            found = parse(record, user_id)
        except MalformedRecord as exc:
            return RecordSummary(user_id=user_id, problem=exc.problem)
        try:
            opened = unseal(record, user_id, self._ring)
        except MalformedRecord as exc:
            return RecordSummary(user_id=user_id, key_id=found.key_id, set_at_ms=found.set_at_ms, problem=exc.problem)
        return RecordSummary(
            user_id=user_id,
            key_id=found.key_id,
            set_at_ms=found.set_at_ms,
            demo=opened.demo,
            fingerprint=opened.fingerprint,
        )
