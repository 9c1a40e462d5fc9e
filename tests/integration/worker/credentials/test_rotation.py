"""Rotation: every record is sealed anew with the first key, whatever happens at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arq.connections import ArqRedis

from ops.keys import KEYS
from tests.support.sealed_records import NEW, OLD, keys, ring
from worker.credentials.admin import CredentialAdmin
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import PAGE_SIZE, SealedRecords


async def test_rotation_seals_every_record_with_the_new_key(
    admin: CredentialAdmin, after: CredentialAdmin, records: SealedRecords
) -> None:
    """Then the old key can go; a second rotation finds nothing to do."""
    users = [keys(str(number)) for number in range(2 * PAGE_SIZE + 7)]
    await admin.put(users)
    before = {entry.user_id: entry async for entry in admin.list_records()}

    assert (await after.key_usage()).left == len(users)
    first, second = await after.rotate(), await after.rotate()

    assert (first.rotated, first.already, first.unreadable) == (len(users), 0, [])
    assert (second.rotated, second.already, second.unreadable) == (0, len(users), [])
    key_usage = await after.key_usage()
    assert (key_usage.left, dict(key_usage.by_key)) == (0, {"2026b": len(users)})
    without_old = CredentialAdmin(records, ring(NEW))
    now = {entry.user_id: entry async for entry in without_old.list_records()}
    assert {(entry.set_at_ms, entry.fingerprint, entry.problem) for entry in now.values()} == {
        (entry.set_at_ms, entry.fingerprint, "") for entry in before.values()
    }


async def test_rotation_keeps_and_reports_records_that_it_cannot_open(
    admin: CredentialAdmin, after: CredentialAdmin, redis: ArqRedis
) -> None:
    """A record copied from another user, garbage, and a user ID that is not UTF-8."""
    await admin.put([keys("1001"), keys("1002"), keys("1003")])
    moved = await redis.hget(KEYS.credentials, "1001")  # type: ignore[misc]
    await redis.hset(KEYS.credentials, mapping={"1002": moved, "1003": b"garbage", b"\xff": moved})  # type: ignore[misc]

    done = await after.rotate()

    assert done.rotated == 1
    assert {entry.user_id: entry.key_id for entry in done.unreadable} == {
        "1002": "2026a",
        "1003": None,
        "\\xff": "2026a",
    }
    assert await redis.hget(KEYS.credentials, "1002") == moved  # type: ignore[misc]
    key_usage = await after.key_usage()
    assert (key_usage.left, dict(key_usage.by_key)) == (3, {"2026a": 2, "2026b": 1})
    assert [entry.user_id for entry in key_usage.unreadable] == ["1003"]


class Meddling(SealedRecords):
    """Records that change between a rotation's read and its write."""

    meddle: Callable[[], object]

    async def replace(self, user_id: str, read: bytes, record: bytes) -> bool:
        """Change the record once, then replace it."""
        await self.meddle()  # type: ignore[misc]
        return await super().replace(user_id, read, record)


async def test_rotation_does_not_overwrite_credentials_that_are_set_meanwhile(
    admin: CredentialAdmin, store: RedisCredentials, redis: ArqRedis
) -> None:
    """If they were set under the old key, they are sealed with the new one."""
    await admin.put([keys("1001")])
    records = Meddling(redis)
    marks = iter("xyz")

    async def meddle() -> None:
        if (mark := next(marks, None)) is not None:
            await admin.put([keys("1001", mark)])

    records.meddle = meddle
    done = await CredentialAdmin(records, ring(NEW, OLD)).rotate()

    assert (done.rotated, await store.get("1001")) == (1, keys("1001", "z"))
    assert [entry.key_id async for entry in admin.list_records()] == ["2026b"]


async def test_rotation_does_not_bring_back_a_user_that_is_removed_meanwhile(
    admin: CredentialAdmin, redis: ArqRedis
) -> None:
    """The removal happens between reading the record and writing it anew."""
    await admin.put([keys("1001")])
    records = Meddling(redis)
    records.meddle = lambda: SealedRecords(redis).remove("1001")

    done = await CredentialAdmin(records, ring(NEW, OLD)).rotate()

    assert (done.rotated, await records.count()) == (0, 0)


async def test_two_rotations_at_once_seal_each_record_once(
    admin: CredentialAdmin, after: CredentialAdmin, redis: ArqRedis
) -> None:
    """Of 100 records each is counted as rotated by one run and as done already by the other."""
    await admin.put([keys(str(number)) for number in range(100)])
    other = CredentialAdmin(SealedRecords(redis), ring(NEW, OLD))

    done = await asyncio.gather(after.rotate(), other.rotate())

    assert sum(each.rotated for each in done) == 100
    assert sum(each.already for each in done) == 100
