"""Who works: how a worker process announces itself in Redis, and how its announcement is read. No I/O.

An announcement lives for three intervals after its beat, so that a killed worker vanishes by itself; a clean stop
withdraws it. The index of announcements is cleaned by every beat, and vanishes when nobody beats.
"""

from __future__ import annotations

import msgspec

from producers.contract import keyspace
from producers.transport.plan import Plan, Transaction

MAX_INTERVAL_S = 60.0
"""However seldom a worker writes its health key: nobody shall take a dead worker for alive for more than minutes."""

TTL_INTERVALS = 3
"""So many missed beats make a worker vanish: one may be late, two may meet a failover."""

MAX_TTL_MS = round(MAX_INTERVAL_S * 1000) * TTL_INTERVALS


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A worker process, as of its last beat.

    Attributes:
        name: unique for each process: host, process ID and eight random hex digits.
        host: the machine's name.
        pid: the process's ID there.
        egress: the name of its egress IP.
        version: of the distribution; "unknown" when it is not installed.
        started_at_ms: Unix milliseconds, Redis's clock.
        beat_at_ms: when it announced itself last, Unix milliseconds, Redis's clock.
        interval_s: how often it does.
        max_jobs: how many changes it may have in hand.
        in_hand: how many it has.
        ended: changes that ended here since it started.
        put_back: attempts that put their lanes back since it started.
        user_rate_per_s: requests a second of one user, as it is configured.
        egress_rate_per_s: requests a second of its egress, as it is configured.
    """

    name: str
    host: str
    pid: int
    egress: str
    version: str
    started_at_ms: int
    beat_at_ms: int
    interval_s: float
    max_jobs: int
    in_hand: int
    ended: int
    put_back: int
    user_rate_per_s: float
    egress_rate_per_s: float


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WorkerInfo)


def announce_worker(worker_info: WorkerInfo) -> Plan[None]:
    """Announces a worker, and cleans the index of those that vanished."""
    member = _member(worker_info)
    life_ms = round(worker_info.interval_s * 1000) * TTL_INTERVALS
    yield Transaction(
        [
            ("SET", keyspace.WORKER + member, _encoder.encode(worker_info), "PX", max(1, life_ms)),
            ("ZREMRANGEBYSCORE", keyspace.WORKERS, "-inf", worker_info.beat_at_ms),
            ("ZADD", keyspace.WORKERS, worker_info.beat_at_ms + life_ms, member),
            ("PEXPIRE", keyspace.WORKERS, MAX_TTL_MS),
        ]
    )


def withdraw_worker(worker_info: WorkerInfo) -> Plan[None]:
    """Withdraws a worker's announcement."""
    member = _member(worker_info)
    yield Transaction([("DEL", keyspace.WORKER + member), ("ZREM", keyspace.WORKERS, member)])


def decode_worker_info(payload: bytes) -> WorkerInfo | None:
    """An announcement; None if this version cannot read it."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _member(worker_info: WorkerInfo) -> str:
    """The name in the index, and of the key: scripts find the egress as everything before the first `:`."""
    return f"{keyspace.escape(worker_info.egress)}:{keyspace.escape(worker_info.name)}"
