"""Claiming due lanes: the claim script's wrapper."""

from __future__ import annotations

import secrets
from enum import IntEnum
from typing import Any

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.contract.codec import COALESCE_BYTES, MAX_PAYLOAD_BYTES
from producers.contract.messages import THROTTLED
from producers.queue.batch_ids import BATCH_IDS
from producers.queue.bucket import BUCKET, US_PER_S
from producers.transport.clients import keyspace_of
from producers.transport.scripts import Argument, Part, Script
from worker.clock import Clock
from worker.queue.claims import Claim, Claims, EgressHealth, MalformedLane
from worker.queue.rate import Pacing
from worker.queue.redis_clock import RedisClockMonitor
from worker.settings import WorkerSettings

MAX_COALESCED = 99
"""Maximum of changes that are read behind a head. A request holds ten settings, but replaced ones do not count."""

BULK_SHARE = 10
"""While lanes of both priorities are due, one claim in this many is for bulk (DESIGN: a tenth)."""

QUARANTINE_AFTER = 3
"""Lost deliveries after which a head may be what kills its workers; it is then claimed and attempted alone."""


class Row(IntEnum):
    """The kinds of rows in the reply. Shared with claim.lua."""

    MALFORMED = 0
    CLAIM = 1


CLAIM = Script.load(
    "worker.queue",
    "claim.lua",
    parts=[BUCKET, BATCH_IDS, Part("worker.queue", "probes.lua", {"THROTTLED": THROTTLED})],
    constants={
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "COALESCE_BYTES": COALESCE_BYTES,
        "MAX_COALESCED": MAX_COALESCED,
        "BULK_SHARE": BULK_SHARE,
        "QUARANTINE_AFTER": QUARANTINE_AFTER,
        "EGRESS_HEALTH": EgressHealth,
        "ROW": Row,
    },
    runs_when_full=True,
)


class Claimer:
    """Claims due heads for one worker process."""

    def __init__(self, redis: Redis, clock: Clock, settings: WorkerSettings, pacing: Pacing) -> None:
        self._redis = redis
        self._clock = clock
        self._lease_s = settings.lease_s
        self._egress = keyspace.escape(settings.egress)
        self._keys = keyspace_of(redis)
        self._name = secrets.token_hex(8)
        self._number = 0
        self._redis_clock = RedisClockMonitor()
        self._pacing: list[Argument] = [
            pacing.pace_us,
            pacing.per_window,
            pacing.window_us,
            pacing.catch_up_us,
            pacing.egress_pace_us,
            pacing.egress_burst_us,
            pacing.margin_factor,
            round(settings.request_timeout_s * US_PER_S),
        ]

    async def claim(self, limit: int) -> Claims:
        """Claim up to `limit` due heads in one round trip.

        Raises:
            redis.exceptions.RedisError: Redis did not answer. Lanes that it did claim are due after their leases.
        """
        self._number += 1
        token = f"{self._name}.{self._number}"
        asked_at_s = self._clock.monotonic()
        arguments = [self._egress, limit, token, round(self._lease_s * 1000), *self._pacing]
        reply = await CLAIM.run(self._redis, self._keys, arguments)
        return self._decode(reply, token, asked_at_s, self._clock.monotonic())

    def _decode(self, reply: list[Any], token: str, asked_at_s: float, answered_at_s: float) -> Claims:
        """Decode a reply. Slots count from its arrival and leases from its request: never too early, never too long."""
        now_ms, next_due_us, *rows = reply
        steady_s = self._redis_clock.observe(now_ms / 1000, asked_at_s, answered_at_s)
        claims = []
        malformed = []
        for number, (kind, lane, *values) in enumerate(rows, start=1):
            if kind == Row.MALFORMED:
                done, postponed = values
                malformed.append(MalformedLane(decode_lane(lane), done.decode(), postponed=bool(postponed)))
                continue
            job_id, wait_us, slot_number, lost_deliveries, payload, history, behind, egress_health, mark = values
            wait_s = wait_us / US_PER_S
            claims.append(
                Claim(
                    lane=lane.decode(),
                    job_id=job_id.decode(),
                    token=f"{token}.{number}",
                    slot_at_s=answered_at_s + wait_s,
                    lease_until_s=asked_at_s + wait_s + self._lease_s,
                    slot_number=slot_number,
                    lost_deliveries=lost_deliveries,
                    payload=payload,
                    history=history,
                    redis_clock_offset_ms=now_ms - answered_at_s * 1000,
                    redis_clock_steady_since_s=answered_at_s - steady_s,
                    egress_health=EgressHealth(egress_health),
                    rejected_keys_mark=None if mark is None else mark.decode(errors="replace"),
                    coalescable=tuple((behind[i].decode(), behind[i + 1]) for i in range(0, len(behind), 2)),
                )
            )
        return Claims(claims, malformed, None if next_due_us < 0 else next_due_us / US_PER_S)


def decode_lane(lane: bytes) -> str:
    """Return the name of an entry of a schedule, with bytes that are not text escaped."""
    return lane.decode(errors="backslashreplace")
