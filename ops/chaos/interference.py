"""What a foe does: calls that must be refused, and what somebody who can write to Redis leaves in lanes and queues."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from ops.chaos.journal import Hostile
from ops.chaos.workload import ORDINARY_USERS, POISONED_USERS, TRADERS, Item
from producers import Priority, Producer, ProducerError, QueueUnavailable, SettingsChange
from producers.contract import keyspace
from producers.contract.codec import encode_change
from producers.contract.messages import APPLY_SETTINGS

FORBIDDEN_MARK = "77777777"
"""Trace value of what must never be sent."""
LONGEST_ANSWER = 1_000
WRONG_TYPE_LANE = keyspace.lane("foe", "star")

PUT = """
if redis.call('LPOS', KEYS[1], ARGV[2]) then return 0 end
if ARGV[3] ~= '' then redis.call('SET', KEYS[6], ARGV[3]) end
redis.call('RPUSH', KEYS[1], ARGV[2])
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1]) end
redis.call('ZADD', KEYS[4], 0, ARGV[1])
return redis.call('LPUSH', KEYS[5], '1')
"""
"""Puts a payload and its ID into a lane as submit does."""


class _Bomb:
    """Runs code in whoever unpickles it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@dataclass(slots=True)
class Interference:
    """Writes to Redis what nobody should.

    Attributes:
        redis: where.
        trap: a file that appears if somebody unpickles.
        rejected: job IDs that must end `rejected`, each once.
        written: these, and those that may be there or not.
        count: how often it struck.
    """

    redis: Redis
    trap: Path
    rejected: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    count: int = 0

    async def strike(self, which: int) -> None:
        """One of its ways."""
        ways: list[Callable[[str], Awaitable[None]]] = [
            self._garbage,
            self._bomb,
            self._too_large,
            self._nothing,
            self._another_lane,
            self._other_function,
            self._newer,
            self._no_text,
            self._no_lane,
            self._wrong_type,
            self._control_queue,
        ]
        self.count += 1
        await ways[which % len(ways)](f"foe-{self.count}")

    async def clean_up(self) -> None:
        """Takes away what would stay for ever."""
        await self.redis.delete(keyspace.LANE + WRONG_TYPE_LANE)
        await self.redis.zrem(keyspace.SCHEDULE, WRONG_TYPE_LANE)

    async def _garbage(self, job_id: str) -> None:
        await self._poison(job_id, b"\xc1\xff\x00 no msgpack")

    async def _bomb(self, job_id: str) -> None:
        await self._poison(job_id, pickle.dumps(_Bomb(self.trap)))

    async def _too_large(self, job_id: str) -> None:
        await self._poison(job_id, b"\xdb" + b"x" * 200_000)

    async def _nothing(self, job_id: str) -> None:
        await self._poison(job_id, None)

    async def _another_lane(self, job_id: str) -> None:
        change = Item(ORDINARY_USERS[0], TRADERS[0], FORBIDDEN_MARK).change
        await self._poison(job_id, encode_change(change, enqueued_at_ms=await self._now_ms(), ttl_ms=86_400_000))

    async def _other_function(self, job_id: str) -> None:
        await self._poison(
            job_id, msgspec.msgpack.encode({"t": None, "f": "os.system", "a": ["true"], "k": {}, "et": 1})
        )

    async def _newer(self, job_id: str) -> None:
        change = Item(POISONED_USERS[0], TRADERS[0], FORBIDDEN_MARK).change
        options = {"v": 99, "ttlMs": 86_400_000}
        stored = {"t": None, "f": APPLY_SETTINGS, "a": [change], "k": options, "et": await self._now_ms()}
        await self._poison(job_id, msgspec.msgpack.encode(stored))

    async def _no_text(self, _: str) -> None:
        await self._put(
            keyspace.lane(POISONED_USERS[self.count % len(POISONED_USERS)], TRADERS[0]), b"\xff\xfe not an ID"
        )

    async def _no_lane(self, _: str) -> None:
        await self.redis.zadd(keyspace.SCHEDULE, {b"\xff\x00 no lane": 0.0})

    async def _wrong_type(self, _: str) -> None:
        await self.redis.set(keyspace.LANE + WRONG_TYPE_LANE, "no list")
        await self.redis.zadd(keyspace.SCHEDULE, {WRONG_TYPE_LANE: 0.0})

    async def _control_queue(self, job_id: str) -> None:
        job_id = f"arq-{job_id}"
        names: dict[Any, float] = {job_id: 1_000_000.0, b"\xff\xfe": 1_000_000.0}
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.set(keyspace.JOB + job_id, b"\x80\x04 no job")
            pipe.zadd(keyspace.CONTROL_QUEUE, names)
            await pipe.execute()

    async def _poison(self, job_id: str, payload: bytes | None) -> None:
        self.written.append(job_id)  # an answer that was lost leaves open whether it is
        await self._put(
            keyspace.lane(POISONED_USERS[self.count % len(POISONED_USERS)], TRADERS[0]), job_id.encode(), payload or b""
        )
        self.rejected.append(job_id)

    async def _put(self, lane: str, job_id: bytes, payload: bytes = b"") -> None:
        job = keyspace.JOB.encode() + job_id
        names: list[Any] = [
            keyspace.LANE + lane,
            keyspace.SCHEDULE,
            keyspace.BULK_SCHEDULE,
            keyspace.LANES,
            keyspace.WAKEUPS,
            job,
        ]
        arguments: list[Any] = [lane, job_id, payload]
        await cast("Awaitable[Any]", self.redis.eval(PUT, len(names), *names, *arguments))

    async def _now_ms(self) -> int:
        seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _with(**changed: Any) -> SettingsChange:
    change = Item(ORDINARY_USERS[0], TRADERS[0], FORBIDDEN_MARK).change
    setting = {name: value for name, value in changed.items() if name in change.settings[0].__struct_fields__}
    rest = {name: value for name, value in changed.items() if name not in setting}
    settings = [msgspec.structs.replace(change.settings[0], **setting)]
    replaced: SettingsChange = msgspec.structs.replace(change, **({"settings": settings} | rest))
    return replaced


ONE = Item(ORDINARY_USERS[0], TRADERS[0], FORBIDDEN_MARK).change
CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no change": (None, {}),
    "a dict": ({"userId": "1"}, {}),
    "no user": (_with(user_id=""), {}),
    "a user with a space": (_with(user_id="1001 admin"), {}),
    "a user with a line break": (_with(user_id="1001\r\nDEL x"), {}),
    "a user beyond ASCII": (_with(user_id="\u0661\u0660\u0660\u0661"), {}),
    "a user of 10,000 characters": (_with(user_id="9" * 10_000), {}),
    "a user that is a number": (_with(user_id=1001), {}),
    "a trader of zero bytes": (_with(trader_id="\x00\x00"), {}),
    "no settings": (_with(settings=[]), {}),
    "11 settings": (_with(settings=[msgspec.structs.replace(ONE.settings[0], symbol=f"S{n}") for n in range(11)]), {}),
    "100,000 settings": (_with(settings=ONE.settings * 100_000), {}),
    "a pair twice": (_with(settings=ONE.settings * 2), {}),
    "settings of settings": (_with(settings=[[[[]]]]), {}),
    "an exponent": (_with(trace_value="1e9"), {}),
    "a sign": (_with(trace_value="-1"), {}),
    "a value of a million digits": (_with(trace_value="1" * 1_000_000), {}),
    "a list for a value": (_with(trace_value=["1"]), {}),
    "a ratio of 401": (_with(stop_loss_ratio="401"), {}),
    "no product": (_with(product_type="SPOT"), {}),
    "a leverage left out": (_with(lever_type="specify"), {}),
    "a batch's ID": (ONE, {"job_id": "july//1"}),
    "a replayed one's ID": (ONE, {"job_id": "x~~y"}),
    "an empty ID": (ONE, {"job_id": ""}),
    "an ID with a line break": (ONE, {"job_id": "a\nb"}),
    "an ID of bytes": (ONE, {"job_id": b"a"}),
    "a deadline in the past": (ONE, {"ttl_s": -1.0}),
    "a deadline that is none": (ONE, {"ttl_s": float("nan")}),
    "a deadline beyond all time": (ONE, {"ttl_s": float("inf")}),
}
"""What is asked for, and with what else."""


async def hostile_call(producer: Producer, which: int) -> Hostile | None:
    """Makes one of the calls; None if Redis was away."""
    name = list(CALLS)[which % len(CALLS)]
    change, rest = CALLS[name]
    try:
        await producer.enqueue(change, priority=Priority.INTERACTIVE, **rest)
    except QueueUnavailable:
        return None
    except ProducerError as exc:
        return Hostile(name, f"{type(exc).__name__}: {exc}"[: LONGEST_ANSWER + 1])
    except Exception as exc:  # noqa: BLE001 - the finding is that it is none of ours
        return Hostile(name, f"! {type(exc).__name__}: {exc}"[: LONGEST_ANSWER + 1])
    return Hostile(name, "")
