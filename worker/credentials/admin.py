"""Administration of the sealed records in Redis: write them, list them, and seal them again with another key."""

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

CONCURRENCY = 16
"""Records that `rotate` seals at the same time, each over its own connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSummary:
    """A user's record without its secrets.

    Attributes:
        user_id: the user.
        key_id: the key that sealed it; None if the record is malformed.
        set_at_ms: when the credentials were set, Unix time; sealing the record again does not change it.
        demo: whether the credentials belong to demo trading; None if the record cannot be opened.
        fingerprint: a hash of the credentials; None if the record cannot be opened.
        problem: why the record cannot be opened, and what to do; empty if it can be.
    """

    user_id: str
    key_id: str | None = None
    set_at_ms: int | None = None
    demo: bool | None = None
    fingerprint: str | None = None
    problem: str = ""


@dataclass(slots=True)
class RotationReport:
    """The result of a key rotation.

    Attributes:
        first_key: ID of the first key of the ring, which seals.
        rotated: how many records were sealed again with that key.
        already: how many records it had sealed before.
        unreadable: records that no key of the ring opens; they are unchanged.
    """

    first_key: str
    rotated: int = 0
    already: int = 0
    unreadable: list[RecordSummary] = field(default_factory=list)


@dataclass(slots=True)
class KeyUsage:
    """How many records each key sealed.

    Attributes:
        first_key: ID of the first key of the ring, which seals.
        by_key: number of records by key ID.
        unreadable: malformed records.
        left: how many records are not sealed with the first key.
    """

    first_key: str
    by_key: Counter[str] = field(default_factory=Counter)
    unreadable: list[RecordSummary] = field(default_factory=list)
    left: int = 0


class CredentialAdmin:
    """Writes and reads sealed records with a key ring.

    Every method raises RedisError or OSError if Redis does not answer, and can then be repeated.
    """

    def __init__(self, records: SealedRecords, ring: KeyRing, clock: Clock | None = None) -> None:
        self._records = records
        self._ring = ring
        self._clock = clock or SystemClock()

    async def put(self, users: Sequence[Credentials]) -> int:
        """Seal and write credentials, replacing earlier ones; return how many users had none."""
        now_ms = self._clock.wall_ms()
        return await self._records.put([(user.user_id, seal(user, self._ring, set_at_ms=now_ms)) for user in users])

    async def list_records(self) -> AsyncIterator[RecordSummary]:
        """Yield a summary of each user's record, in no particular order."""
        async for page in self._records.pages():
            for user_id, record in page:
                yield self._summarize(user_id, record)

    async def key_usage(self) -> KeyUsage:
        """Count the records by key, without opening any."""
        usage = KeyUsage(self._ring.first.key_id)
        async for page in self._records.pages():
            for user_id, record in page:
                try:
                    usage.by_key[parse(record, user_id).key_id] += 1
                except MalformedRecord as exc:
                    usage.unreadable.append(RecordSummary(user_id=user_id, problem=exc.problem))
        usage.left = usage.by_key.total() - usage.by_key[usage.first_key] + len(usage.unreadable)
        return usage

    async def rotate(self) -> RotationReport:
        """Seal every record with the first key, except those that it sealed before.

        Credentials that are set during the rotation are not overwritten. An interrupted rotation can be run again.
        """
        report = RotationReport(self._ring.first.key_id)
        async for page in self._records.pages():
            for start in range(0, len(page), CONCURRENCY):
                await asyncio.gather(*(self._rotate(*item, report) for item in page[start : start + CONCURRENCY]))
        return report

    async def _rotate(self, user_id: str, old: bytes, report: RotationReport) -> None:
        record: bytes | None = old
        while record is not None:
            try:
                parsed = parse(record, user_id)
                if parsed.key_id == report.first_key:
                    report.already += 1
                    return
                credentials = unseal(record, user_id, self._ring)
            except MalformedRecord:
                report.unreadable.append(self._summarize(user_id, record))
                return
            new = seal(credentials, self._ring, set_at_ms=parsed.set_at_ms)
            if await self._records.replace(user_id, record, new):
                report.rotated += 1
                return
            record = await self._records.get(user_id)  # it changed after it was read, or was removed

    def _summarize(self, user_id: str, record: bytes) -> RecordSummary:
        key_id = set_at_ms = None
        try:
            parsed = parse(record, user_id)
            key_id, set_at_ms = parsed.key_id, parsed.set_at_ms
            opened = unseal(record, user_id, self._ring)
        except MalformedRecord as exc:
            return RecordSummary(user_id=user_id, key_id=key_id, set_at_ms=set_at_ms, problem=exc.problem)
        return RecordSummary(
            user_id=user_id, key_id=key_id, set_at_ms=set_at_ms, demo=opened.demo, fingerprint=opened.fingerprint
        )
