"""The Redis commands that plans use, each with the type of its reply, which redis-py has already converted.

A read is retried after a lost reply. A write is not, because its second reply may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from producers.transport.plan import Command, unparsed
from producers.transport.scripts import Argument

T = TypeVar("T")


class _Read(Generic[T]):
    """A read command, called with its arguments; those in `last` always follow."""

    idempotent = True

    def __init__(self, name: str, parse: Callable[[Any], T] = unparsed, *last: Argument) -> None:
        self._name = name
        self._parse = parse
        self._last = last

    def __call__(self, *arguments: Argument) -> Command[T]:
        return Command((self._name, *arguments, *self._last), self._parse, idempotent=self.idempotent)


class _Write(_Read[T]):
    idempotent = False


def _microseconds(reply: tuple[int, int]) -> int:
    seconds, microseconds = reply
    return seconds * 1_000_000 + microseconds


def _scored(reply: list[bytes]) -> list[tuple[bytes, float]]:
    return [(member, float(score)) for member, score in zip(reply[::2], reply[1::2], strict=True)]


TIME_US = _Read("TIME", _microseconds)
"""Redis's clock, Unix microseconds."""

EXISTS = _Read[int]("EXISTS")
GET = _Read[bytes | None]("GET")
GETRANGE = _Read[bytes]("GETRANGE")
MGET = _Read[list[bytes | None]]("MGET")
SET = _Write[Any]("SET")
DEL = _Write[int]("DEL")
PEXPIRE = _Write[bool]("PEXPIRE")
PTTL = _Read[int]("PTTL")
SCAN = _Read[tuple[int, list[bytes]]]("SCAN")

HDEL = _Write[int]("HDEL")
HEXISTS = _Read[bool]("HEXISTS")
HGET = _Read[bytes | None]("HGET")
HGETALL = _Read[dict[bytes, bytes]]("HGETALL")
HKEYS = _Read[list[bytes]]("HKEYS")
HLEN = _Read[int]("HLEN")
HMGET = _Read[list[bytes | None]]("HMGET")
HSCAN = _Read[tuple[int, dict[bytes, bytes]]]("HSCAN")
HSET = _Write[int]("HSET")
HSETNX = _Write[int]("HSETNX")

LLEN = _Read[int]("LLEN")
LPOS = _Read[int | None]("LPOS")
LPUSH = _Write[int]("LPUSH")
LRANGE = _Read[list[bytes]]("LRANGE")
LTRIM = _Write[Any]("LTRIM")

SADD = _Write[int]("SADD")
SCARD = _Read[int]("SCARD")
SISMEMBER = _Read[int]("SISMEMBER")
SREM = _Write[int]("SREM")
SSCAN = _Read[tuple[int, list[bytes]]]("SSCAN")

XDEL = _Write[int]("XDEL")
XRANGE = _Read[list[tuple[bytes, dict[bytes, bytes]]]]("XRANGE")
XREAD = _Read[list[Any]]("XREAD")

ZADD = _Write[int]("ZADD")
ZCARD = _Read[int]("ZCARD")
ZCOUNT = _Read[int]("ZCOUNT")
ZRANGE = _Read[list[bytes]]("ZRANGE")
ZRANGE_WITHSCORES = _Read("ZRANGE", _scored, "WITHSCORES")
ZRANK = _Read[int | None]("ZRANK")
ZREM = _Write[int]("ZREM")
ZREMRANGEBYSCORE = _Write[int]("ZREMRANGEBYSCORE")
ZREVRANGE = _Read[list[bytes]]("ZREVRANGE")
ZSCORE = _Read[float | None]("ZSCORE")
