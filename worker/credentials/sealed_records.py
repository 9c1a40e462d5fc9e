"""Where sealed records are: a hash in Redis, a field a user. What is in them is no business of this module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from producers.contract.keyspace import CREDENTIALS
from producers.transport.scripts import Script

PAGE = 500
"""Records that are read or written at once."""

_replace = Script.load("worker.credentials", "replace_record.lua")


class SealedRecords:
    """The records of all users, bytes in and out."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # redis-py's annotations leave open whether its commands are awaited

    async def get(self, user_id: str) -> bytes | None:
        """A user's record; None if there is none."""
        return cast("bytes | None", await self._redis.hget(CREDENTIALS, user_id))

    async def count(self) -> int:
        """How many users have one."""
        return int(await self._redis.hlen(CREDENTIALS))

    async def put(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Writes users' records; returns how many users had none before."""
        new = 0
        for start in range(0, len(records), PAGE):
            mapping = dict(records[start : start + PAGE])
            new += int(await self._redis.hset(CREDENTIALS, mapping=mapping))
        return new

    async def remove(self, user_id: str) -> bool:
        """Removes a user's record; False if there was none."""
        return bool(await self._redis.hdel(CREDENTIALS, user_id))

    async def replace(self, user_id: str, read: bytes, record: bytes) -> bool:
        """Puts a record in the place of the one that was read; False if that is there no more."""
        return bool(await _replace.run(self._redis, [CREDENTIALS], [user_id, read, record]))

    async def pages(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All records with their users, some at a time. What is written meanwhile may be in it or not."""
        cursor = 0
        while True:
            cursor, found = await self._redis.hscan(CREDENTIALS, cursor, count=PAGE)
            # A field that is no text was written by nobody of us: its record will not open.
            yield [(user.decode(errors="backslashreplace"), record) for user, record in found.items()]
            if not cursor:
                return
