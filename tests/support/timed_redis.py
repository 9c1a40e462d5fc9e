"""A client of a real server whose time the test sets, so that leases and clock steps take no time.

Scripts and commands that ask for the time are told it from a key. A script is sent with its `TIME` replaced, and is run
by the digest of that text afterwards. Lives of keys follow the same clock: whoever moves it moves them.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.manual_clock import ManualClock

CLOCK = "test:clock"
LIFE_STEP_US = 1_000_000
UNKNOWN = "0" * 40
"""The digest of no script, for which the server asks for the text."""
_ASKED = "redis.call('TIME')"
_TOLD = """
local function test_time()
  local now_us = tonumber(redis.call('GET', 'test:clock'))
  return {math.floor(now_us / 1000000), now_us % 1000000}
end
"""
_TIME = f"{_TOLD} return test_time()"

_MOVE = """
local since_us = ARGV[2] or redis.call('GET', KEYS[1]) or ARGV[1]
local shift_ms = math.floor((ARGV[1] - since_us) / 1000)
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left_ms = redis.call('PTTL', key)
  if left_ms >= 0 then redis.call('PEXPIRE', key, left_ms - shift_ms) end
end
redis.call('SET', KEYS[1], ARGV[1])
"""

_DUMP = """
local read = {string = {'GET'}, hash = {'HGETALL'}, set = {'SMEMBERS'}, list = {'LRANGE', 0, -1},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XRANGE', '-', '+'}}
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local command = read[kind]
  found[#found + 1] = {key, kind, redis.call('PTTL', key), redis.call(command[1], key, unpack(command, 2))}
end
return found
"""


class _Translation:
    """Maps the digests of scripts to those of the texts that were sent."""

    def __init__(self) -> None:
        self._digests: dict[Any, str] = {}

    def of(self, command: tuple[Any, ...]) -> tuple[Any, ...]:
        name, *rest = command
        if name == "TIME":
            return "EVAL", _TIME, 0
        if name == "EVALSHA":
            return name, self._digests.get(rest[0], UNKNOWN), *rest[1:]  # the server may know it with its own TIME
        if name == "EVAL":
            text = _TOLD + rest[0].replace(_ASKED, "test_time()")
            self._digests[_digest(rest[0])] = _digest(text)
            return name, text, *rest[1:]
        return command


_translation = _Translation()


class _TimedPipeline(Pipeline):
    """A pipeline with the test's time."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*_translation.of(args), **options)


class TimedRedis(ArqRedis):
    """arq's client, on a server with the test's time.

    Attributes:
        next_script: what becomes of the next script: "" it runs, "lost" it runs and its reply is lost, "late" it is
            kept in `delayed` instead, for the test to execute it.
        delayed: the arguments of a script that was kept.
    """

    next_script: Literal["", "lost", "late"] = ""
    delayed: tuple[Any, ...] | None = None

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline with the test's time."""
        return _TimedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command, with TIME and scripts replaced."""
        fate = self.next_script if args[0] in ("EVALSHA", "EVAL") else ""
        if fate == "late":
            self.next_script, self.delayed = "", args
            raise RedisConnectionError("the test delays this script")
        reply = await super().execute_command(*_translation.of(args), **options)  # type: ignore[no-untyped-call]
        if fate == "lost":
            self.next_script = ""
            raise RedisConnectionError("the test lost this reply")
        return reply

    async def set_time(self, now_us: int) -> None:
        """Set the time (Unix microseconds); keys whose TTL is over are deleted."""
        await self.execute_command("EVAL", _MOVE, 1, CLOCK, now_us)

    async def all_there_is(self) -> dict[str, tuple[Any, int]]:
        """Return every key with its value and TTL (ms, -1 for none). Hashes and sorted sets are dicts."""
        rows = await self.execute_command("EVAL", _DUMP, 0)
        found = {}
        for key, kind, left_ms, value in rows:
            if key.decode() != CLOCK:
                found[key.decode()] = _read(kind.decode(), value), left_ms
        return found


class ClockedRedis(TimedRedis):
    """A client of a server whose time follows a clock that the test moves.

    Attributes:
        clock: the clock. The server has its time from the next command or script on. Lives of keys follow it in steps
            of a second, since each step looks at all keys.
    """

    clock: ManualClock
    _told_us = 0
    _moved_us = 0

    def follow(self, clock: ManualClock) -> None:
        """Follow this clock from now on."""
        self.clock = clock
        self._moved_us = clock.now_us

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline with the clock's time."""
        pipe = _ClockedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.clocked = self
        return pipe

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command at the clock's time."""
        await self.follow_clock()
        return await super().execute_command(*args, **options)

    async def follow_clock(self) -> None:
        """Set the server's time to that of the clock."""
        now_us = self.clock.now_us
        if abs(now_us - self._moved_us) >= LIFE_STEP_US:
            await super().execute_command("EVAL", _MOVE, 1, CLOCK, now_us, self._moved_us)
            self._told_us = self._moved_us = now_us
        elif self._told_us != now_us:
            await super().execute_command("SET", CLOCK, now_us)
            self._told_us = now_us


class _ClockedPipeline(_TimedPipeline):
    """A pipeline with the clock's time."""

    clocked: ClockedRedis

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        await self.clocked.follow_clock()
        return await super().execute(raise_on_error)


def _read(kind: str, value: Any) -> Any:
    if kind in ("hash", "zset"):
        return dict(zip(value[::2], value[1::2], strict=True))
    return set(value) if kind == "set" else value


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
