"""The entries of an overview, as tests write them to Redis, and the overview that is read of them."""

from __future__ import annotations

from typing import Any

from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.monitor.worker_info import WorkerInfo
from producers.queue.bucket import StoredBucket
from producers.queue.lanes import LaneScore
from producers.transport.runner import run_plan
from producers.transport.script_messages import encode

US = 1_000_000


async def seen(redis: ArqRedis) -> Overview:
    return await run_plan(redis, read_overview(), "asking for an overview")


async def now_us(redis: ArqRedis) -> int:
    seconds, micros = await redis.time()
    return int(seconds * US + micros)


def lane_put(redis: Any, user: str, due_ms: float, *, trader: str = "t", bulk: bool = False, changes: int = 1) -> None:
    """Put a lane that waits, and schedule its user."""
    lanes, schedule = (KEYS.bulk_lanes, KEYS.bulk_schedule) if bulk else (KEYS.lanes, KEYS.schedule)
    redis.hset(KEYS.heads + user, trader, f"{changes} {0 if bulk else changes} 0 0 {'b' if bulk else 'i'} j")
    redis.zadd(lanes + user, {trader: due_ms})
    redis.zadd(schedule, {user: due_ms})


def in_flight_put(redis: Any, user: str, session: str) -> None:
    """Put a lane that a session holds; its user has nothing else."""
    redis.hset(KEYS.heads + user, "t", "1 1 0 0 i j")
    redis.zadd(KEYS.lanes + user, {"t": int(LaneScore.IN_FLIGHT)})
    redis.hset(KEYS.held + session, f"{user}:t", "1.1 1 1")


def session_put(redis: Any, renewed_ms: float, *, ttl_ms: int = 2_000) -> Any:
    return redis.hset(KEYS.sessions, "s1", f"0 {renewed_ms:.0f} {ttl_ms} 0 0 0")


def bucket_held_until(hold_us: int) -> bytes:
    return encode(StoredBucket(0, hold=hold_us))


def worker_info(name: str = "a-1-00", *, beat_at_ms: int, **changed: Any) -> WorkerInfo:
    fields: dict[str, Any] = {
        "host": "a",
        "pid": 1,
        "session": "s1",
        "egress": "default",
        "version": "0.1.0",
        "started_at_ms": 1,
        "interval_s": 10.0,
        "max_jobs": 256,
        "in_flight": 3,
        "ended": 40,
        "requeued": 2,
        "user_rate_per_s": 10.0,
        "egress_rate_per_s": 100.0,
    }
    return WorkerInfo(name=name, beat_at_ms=beat_at_ms, **fields | changed)
