"""A queue that an earlier version of this project wrote, as a file: every key with its type, value and TTL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class StoredQueue:
    """A dump of a whole Redis.

    Attributes:
        at_us: when it was made, by the clock of its Redis (Unix microseconds).
        queued: lane -> job IDs, head first.
        held: lane and token of the claim that a worker had in flight.
        keys: key, type, TTL (ms, -1 for none) and value of each key; bytes are written as Latin-1 text.
    """

    at_us: int
    queued: dict[str, list[str]]
    held: dict[str, str]
    keys: list[tuple[str, str, int, Any]]

    @classmethod
    def from_file(cls, name: str) -> StoredQueue:
        """Read a file of this folder."""
        document = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
        return cls(document["at_us"], document["queued"], document["held"], document["keys"])

    async def load(self, redis: Redis) -> None:
        """Write every key to an empty Redis."""
        for name, kind, ttl_ms, value in self.keys:
            key = name.encode("latin-1")
            for command in _commands(kind, key, value):
                await redis.execute_command(*command)  # type: ignore[no-untyped-call]
            if ttl_ms >= 0:
                await redis.pexpire(key, ttl_ms)


def _commands(kind: str, key: bytes, value: Any) -> list[tuple[Any, ...]]:
    match kind:
        case "string":
            return [("SET", key, _raw(value))]
        case "list":
            return [("RPUSH", key, *map(_raw, value))]
        case "set":
            return [("SADD", key, *map(_raw, value))]
        case "hash":
            return [("HSET", key, *(_raw(part) for pair in value for part in pair))]
        case "zset":
            return [("ZADD", key, *(part for member, score in value for part in (score, _raw(member))))]
        case "stream":
            return [("XADD", key, entry, *(_raw(part) for pair in fields for part in pair)) for entry, fields in value]
        case _:
            raise AssertionError(f"{key!r} has the unknown type {kind}")


def _raw(text: str) -> bytes:
    return text.encode("latin-1")
