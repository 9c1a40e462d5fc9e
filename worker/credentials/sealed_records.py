"""Storage of sealed records: a Redis hash with one field per user. Records are opaque bytes here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from producers.transport.clients import keyspace_of
from producers.transport.scripts import Script

PAGE_SIZE = 500
"""Records per Redis command."""

_replace = Script.load("worker.credentials", "replace_record.lua")


class SealedRecords:
    """The sealed records of all users."""

    def __init__(self, redis: Redis) -> None:
        self._key = keyspace_of(redis).credentials
        self._redis: Any = redis  # redis-py's annotations do not say whether its commands are awaitable

    async def get(self, user_id: str) -> bytes | None:
        """Return a user's record, or None."""
        return cast("bytes | None", await self._redis.hget(self._key, user_id))

    async def count(self) -> int:
        """Return the number of users with a record."""
        return int(await self._redis.hlen(self._key))

    async def put(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Write records by user ID; return how many users had none before."""
        added = 0
        for start in range(0, len(records), PAGE_SIZE):
            added += int(await self._redis.hset(self._key, mapping=dict(records[start : start + PAGE_SIZE])))
        return added

    async def remove(self, user_id: str) -> bool:
        """Remove a user's record; return False if there was none."""
        return bool(await self._redis.hdel(self._key, user_id))

    async def replace(self, user_id: str, old: bytes, new: bytes) -> bool:
        """Replace the record `old` by `new`; return False if the user's record is no longer `old`."""
        return bool(await _replace.run(self._redis, keyspace_of(self._redis), [user_id, old, new]))

    async def pages(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Yield all records with their user IDs, page by page. Records that are written meanwhile may be missing."""
        seen: set[bytes] = set()  # HSCAN may return a field more than once
        cursor = 0
        while True:
            cursor, found = await self._redis.hscan(self._key, cursor, count=PAGE_SIZE)
            # This package writes valid UTF-8 only. A record under any other field is reported as malformed.
            yield [(user.decode(errors="backslashreplace"), found[user]) for user in found if user not in seen]
            seen.update(found)
            if not cursor:
                return
