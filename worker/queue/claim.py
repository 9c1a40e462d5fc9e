"""Claiming due lanes: the claim script's wrapper."""

from __future__ import annotations

import secrets
from typing import Any

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES
from producers.transport.scripts import Argument, Part, Script
from worker.clock import Clock
from worker.queue.claims import Claim, Claims, EgressHealth, MalformedLane
from worker.queue.rate import LOOK_AHEAD_US, US_PER_S, WINDOW_PAD_US, Pacing
from worker.settings import WorkerSettings

CLAIM = Script.load("worker.queue", "claim.lua", parts=[Part("producers.queue", "bucket.lua")])

MAX_COALESCED = 99
"""So many changes behind a head are offered to be sent with it. Ten settings fit; what they replace is unbounded."""

BULK_SHARE = 10
"""One claim in so many is for bulk while interactive changes wait too: DESIGN keeps it a tenth."""

UNREADABLE_ITEMS = 3
"""So many items has the reply's array for something that cannot be read."""


class Claimer:
    """Takes due heads for one worker process."""

    def __init__(self, redis: Redis, clock: Clock, settings: WorkerSettings, pacing: Pacing) -> None:
        self._redis = redis
        self._clock = clock
        self._lease_s = settings.lease_s
        self._keys = [
            keyspace.SCHEDULE,
            keyspace.BULK_SCHEDULE,
            keyspace.LANES,
            keyspace.BELL,
            keyspace.EGRESS + keyspace.escape(settings.egress),
            keyspace.COUNTS,
            keyspace.PAUSED,
            keyspace.RATES,
            keyspace.EGRESSES,
            keyspace.TROUBLES + keyspace.escape(settings.egress),
            keyspace.REFUSED,
        ]
        self._name = secrets.token_hex(8)
        self._round = 0
        self._before = [keyspace.LANE, keyspace.HEAD, keyspace.JOB, keyspace.BATCH, keyspace.escape(settings.egress)]
        self._after: list[Argument] = [
            round(settings.lease_s * 1000),
            MAX_PAYLOAD_BYTES,
            MAX_COALESCED,
            BULK_SHARE,
            keyspace.BUCKET,
            keyspace.ENDPOINT,
            LOOK_AHEAD_US,
            pacing.pace_us,
            pacing.per_window,
            pacing.window_us,
            WINDOW_PAD_US,
            pacing.catch_up_us,
            round(settings.lease_s * US_PER_S),
            pacing.egress_pace_us,
            pacing.egress_burst_us,
            pacing.margin_factor,
        ]

    async def claim(self, most: int) -> Claims:
        """Takes up to `most` heads; one round trip.

        Raises:
            redis.exceptions.RedisError: Redis did not answer; what it may have claimed comes due again by its lease.
        """
        self._round += 1
        token = f"{self._name}.{self._round}"
        asked_at_s = self._clock.monotonic()
        reply = await CLAIM.run(self._redis, self._keys, [*self._before, most, token, *self._after])
        return self._read(reply, token, asked_at_s, self._clock.monotonic())

    def _read(self, reply: list[Any], token: str, asked_at_s: float, answered_at_s: float) -> Claims:
        """Slots are counted from the answer and leases from the question, so that neither errs to the unsafe side."""
        now_ms, next_due_us, *rows = reply
        redis_clock_offset_ms = now_ms - answered_at_s * 1000
        claims = []
        malformed = []
        for number, row in enumerate(rows, start=1):
            if len(row) == UNREADABLE_ITEMS:
                name, done, still_scheduled = row
                lane = name.decode(errors="backslashreplace")
                malformed.append(MalformedLane(lane, done.decode(), scheduled=bool(still_scheduled)))
                continue
            (
                name,
                job_id,
                wait_us,
                slot_number,
                lost_deliveries,
                payload,
                state,
                joined,
                egress_health,
                rejected_keys_mark,
            ) = row
            wait_s = wait_us / US_PER_S
            claims.append(
                Claim(
                    lane=name.decode(),
                    job_id=job_id.decode(),
                    token=f"{token}.{number}",
                    slot_at_s=answered_at_s + wait_s,
                    lease_until_s=asked_at_s + wait_s + self._lease_s,
                    slot_number=slot_number,
                    lost_deliveries=lost_deliveries,
                    payload=payload,
                    state=state,
                    redis_clock_offset_ms=redis_clock_offset_ms,
                    egress_health=EgressHealth(egress_health),
                    rejected_keys_mark=None
                    if rejected_keys_mark is None
                    else rejected_keys_mark.decode(errors="replace"),
                    coalescable=tuple((joined[i].decode(), joined[i + 1]) for i in range(0, len(joined), 2)),
                )
            )
        return Claims(claims, malformed, None if next_due_us < 0 else next_due_us / US_PER_S)
