"""The announcement of a worker process in Redis. No I/O.

A worker counts as alive while its session is (session.lua). Its announcement is renewed less often, says what it did
until then, and expires three intervals later; a clean stop withdraws it. Each announcement also removes expired entries
from the index, which expires too if there are none.
"""

from __future__ import annotations

from typing import Any

import msgspec

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import unix_ms
from producers.transport.commands import DEL, PEXPIRE, SET, ZADD, ZREM, ZREMRANGEBYSCORE
from producers.transport.plan import Transaction

MAX_INTERVAL_S = 60.0
"""Maximum time between announcements, even if the health interval is longer: dead workers disappear in minutes."""

TTL_INTERVALS = 3
"""An announcement's TTL in intervals: two heartbeats may be lost, as in a failover of Redis."""

MAX_TTL_MS = round(MAX_INTERVAL_S * 1000) * TTL_INTERVALS


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A worker process, as of its last heartbeat.

    Attributes:
        name: unique for each process: host, process ID and eight random hex digits.
        host: the machine's name.
        pid: the process's ID on that machine.
        session: its session; without one it is not alive.
        egress: the name of its egress IP.
        version: the version of the distribution; "unknown" if it is not installed.
        started_at_ms: Unix milliseconds, Redis's clock.
        beat_at_ms: its last heartbeat, Unix milliseconds, Redis's clock.
        interval_s: time between two heartbeats.
        max_jobs: how many changes it may have in flight.
        in_flight: how many it has in flight.
        ended: changes that it finished since it started.
        requeued: attempts after which it requeued the change, since it started.
        user_rate_per_s: its configured requests per second of one user.
        egress_rate_per_s: its configured requests per second of its egress.
    """

    name: str
    host: str
    pid: int
    session: str
    egress: str
    version: str
    started_at_ms: int
    beat_at_ms: int
    interval_s: float
    max_jobs: int
    in_flight: int
    ended: int
    requeued: int
    user_rate_per_s: float
    egress_rate_per_s: float


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WorkerInfo)


def announce_worker(keys: Keyspace, worker: WorkerInfo) -> Transaction[Any]:
    """Return the step that announces a worker, and removes expired ones from the index."""
    member = _member(worker)
    ttl_ms = round(worker.interval_s * 1000) * TTL_INTERVALS
    return Transaction(
        SET(keys.worker + member, _encoder.encode(worker), "PX", max(1, ttl_ms)),
        ZREMRANGEBYSCORE(keys.workers, "-inf", worker.beat_at_ms),
        ZADD(keys.workers, worker.beat_at_ms + ttl_ms, member),
        PEXPIRE(keys.workers, MAX_TTL_MS),
    )


def withdraw_worker(keys: Keyspace, worker: WorkerInfo) -> Transaction[Any]:
    """Return the step that withdraws a worker's announcement."""
    member = _member(worker)
    return Transaction(DEL(keys.worker + member), ZREM(keys.workers, member))


def decode_worker_info(payload: bytes) -> WorkerInfo:
    """Return the worker of an announcement.

    Raises:
        ValueError: this version cannot read it.
    """
    try:
        worker = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise ValueError("not an announcement of a worker") from exc
    for at_ms in (worker.started_at_ms, worker.beat_at_ms):
        unix_ms(at_ms)
    return worker


def _member(worker: WorkerInfo) -> str:
    """Return the name in the index and in the key. Scripts read the egress and the session before the first two `:`."""
    return f"{keyspace.escape(worker.egress)}:{worker.session}:{keyspace.escape(worker.name)}"
