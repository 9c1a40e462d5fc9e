"""Malformed data in lanes and queues, as another program that can write to Redis might leave it."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from ops.chaos.workload import ORDINARY_USERS, POISONED_USERS, TRADERS, Item
from producers.contract import keyspace
from producers.contract.codec import encode_change
from producers.transport.clients import keyspace_of
from producers.transport.shards import Shards

FORBIDDEN_TRACE_VALUE = "77777777"
"""Trace value of a change that must never be sent."""
DAY_MS = 86_400_000

PUT = """
local user, trader, job_id, payload = unpack(ARGV)
if redis.call('HEXISTS', KEYS[1], trader) == 1 then return 0 end
if payload ~= '' then redis.call('SET', KEYS[5], payload) end
redis.call('HSET', KEYS[1], trader, '1 1 0 0 i ' .. job_id)
redis.call('ZADD', KEYS[2], 1, trader)
redis.call('ZADD', KEYS[3], 1, user)
redis.call('LPUSH', KEYS[4], '1')
return 1
"""
"""Puts a job ID and its payload, if it is not empty, into an empty lane, as the submit script does. Returns 1, or 0 if
the lane is not empty."""


class _Bomb:
    """Creates a file in the process that unpickles it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def poisoned_user(number: int) -> str:
    """Return the user in whose lane the malformed job of a number is put."""
    return POISONED_USERS[number % len(POISONED_USERS)]


@dataclass(slots=True)
class Interference:
    """Writes malformed data to Redis.

    Attributes:
        clients: the clients of the queue.
        unpickle_marker: a file that appears if a process unpickles a payload.
        rejected: job IDs that must end `rejected`.
        written: these, and those that may have been written.
        count: the number of writes so far.
    """

    clients: Shards[Redis]
    unpickle_marker: Path
    rejected: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    count: int = 0

    async def write(self, which: int) -> None:
        """Write one kind of malformed data: a payload in a lane, or a control job."""
        self.count += 1
        job_id = f"poison-{self.count}"
        other_lane = Item(ORDINARY_USERS[0], TRADERS[0], FORBIDDEN_TRACE_VALUE).change
        seconds, _ = await self.clients.home.time()
        payloads = [
            b"\xc1\xff\x00 no msgpack",
            pickle.dumps(_Bomb(self.unpickle_marker)),
            b"",
            encode_change(other_lane, enqueued_at_ms=int(seconds) * 1000, ttl_ms=DAY_MS),
        ]
        has_control_queue = not keyspace_of(self.clients.clients[0]).tag
        kind = which % (len(payloads) + has_control_queue)
        if kind < len(payloads):
            await self._put(job_id, payloads[kind])
        else:
            await self._control_job(f"arq-{job_id}")

    async def _control_job(self, job_id: str) -> None:
        names: dict[Any, float] = {job_id: 1_000_000.0, b"\xff\xfe": 1_000_000.0}
        redis = self.clients.home
        async with redis.pipeline(transaction=True) as pipe:
            pipe.set(keyspace_of(redis).job + job_id, b"\x80\x04 no job")
            pipe.zadd(keyspace.CONTROL_QUEUE, names)
            await pipe.execute()

    async def _put(self, job_id: str, payload: bytes) -> None:
        self.written.append(job_id)  # without an answer it may be there or not
        user, trader = poisoned_user(self.count), TRADERS[0]
        redis = self.clients.of(user)
        keys = keyspace_of(redis)
        names = [keys.heads + user, keys.lanes + user, keys.schedule, keys.wakeups, keys.job + job_id]
        arguments: list[Any] = [user, trader, job_id, payload]
        if await cast("Awaitable[int]", redis.eval(PUT, len(names), *names, *arguments)):
            self.rejected.append(job_id)
