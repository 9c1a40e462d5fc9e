"""Claiming due changes: the claim script's wrapper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from producers.contract import keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES
from producers.contract.messages import THROTTLED, Priority
from producers.queue.bucket import MAX_PER_WINDOW, US_PER_S, WINDOW_PAD_US
from producers.queue.lanes import MAX_COALESCED
from producers.queue.parts import BATCHES, BREAKER, EGRESS, LANES, SESSION
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import decode, encode
from producers.transport.scripts import Part, Script
from worker.clock import Clock
from worker.metrics import WorkerMetrics
from worker.queue.claim_messages import BehindRow, ClaimReply, ClaimRequest, ClaimRow
from worker.queue.claims import Claim, Claims, EgressHealth, MalformedEntry, Stored
from worker.queue.egress_share import ClaimPace, EgressShare, WholeEgress
from worker.queue.rate import Pacing
from worker.queue.redis_clock import RedisClockMonitor
from worker.queue.session import Session
from worker.settings import WorkerSettings

MAX_PAYLOADS = 200
"""Changes, with those behind the heads, after which a claim takes no further head: up to 10 ms of Redis."""

BULK_SHARE = 10
"""While changes of both priorities are due, one claim in this many is for bulk."""

QUARANTINE_AFTER = 3
"""Lost deliveries after which a head may be what kills its workers; it is then claimed and attempted alone."""

LACKS_PROBE = 2
"""In the reply: the egress's breaker is open, a probe is due, and nobody could be claimed for it."""

PROBE_MARGIN_S = 2.0
"""How much longer than its session and its request a probe may take before the next one is due."""


CLAIM = Script.load(
    "worker.queue",
    "claim.lua",
    parts=[
        *LANES,
        EGRESS,
        BREAKER,
        SESSION,
        BATCHES,
        Part("worker.queue", "pacing.lua", {"MAX_PER_WINDOW": MAX_PER_WINDOW, "WINDOW_PAD": WINDOW_PAD_US}),
        Part("worker.queue", "probes.lua", {"THROTTLED": THROTTLED}),
        Part("worker.queue", "turns.lua", {"BULK_SHARE": BULK_SHARE}),
        Part("worker.queue", "groups.lua", {"MAX_COALESCED": MAX_COALESCED}),
        Part("worker.queue", "payloads.lua", {"MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES}),
    ],
    constants={
        "MAX_PAYLOADS": MAX_PAYLOADS,
        "QUARANTINE_AFTER": QUARANTINE_AFTER,
        "EGRESS_HEALTH": EgressHealth,
    },
    request=ClaimRequest,
    reply=ClaimReply,
    runs_when_full=True,
)


class Claimer:
    """Claims due heads for one worker process."""

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        settings: WorkerSettings,
        pacing: Pacing,
        session: Session,
        *,
        metrics: WorkerMetrics | None = None,
        share: EgressShare | None = None,
    ) -> None:
        """Create a claimer; `share` is what it has of the egress's rate, all of it by default."""
        self._redis = redis
        self._clock = clock
        self.session = session
        self._egress = keyspace.escape(settings.egress)
        self._metrics = metrics or WorkerMetrics()
        self._keys = keyspace_of(redis)
        self._redis_clock = RedisClockMonitor()
        self._share = share or WholeEgress(pacing)
        self._redis_offset_s: float | None = None  # Redis's clock less our uptime, at least
        self._pacing = pacing
        self._probe_lease_us = round(
            (settings.session_ttl_s + settings.connect_timeout_s + settings.request_timeout_s + PROBE_MARGIN_S)
            * US_PER_S
        )

    async def claim(self, limit: int) -> Claims:
        """Claim up to `limit` due heads in one round trip.

        Raises:
            redis.exceptions.RedisError: Redis did not answer. What it did claim is given back by the next renewal.
        """
        session_id, number = self.session.begin_claim()
        asked_at_s = self._clock.monotonic()
        try:
            request = self._request(session_id, number, limit)
            elements = await CLAIM.run(self._redis, self._keys, [encode(request)])
            reply, answered_at_s = decode(ClaimReply, elements[0]), self._clock.monotonic()
            self._redis_offset_s = reply.now_ms / 1000 - self._clock.uptime()
            claims = self._claims(reply, elements, request, asked_at_s, answered_at_s)
        except BaseException:
            self.session.lose_claim(session_id, number)
            raise
        self.session.claimed(session_id, number, len(reply.rows))
        self._measure(reply, answered_at_s - asked_at_s)
        if reply.is_refused:
            self.session.refused(session_id)
        return claims

    def _measure(self, reply: ClaimReply, took_s: float) -> None:
        self._metrics.redis_call_duration.observe(took_s, "claim.lua")
        for row in reply.rows:
            self._metrics.claim_delay.observe(row.late_ms / 1000, _priority(row))

    def _request(self, session_id: str, number: int, limit: int) -> ClaimRequest:
        pacing, (egress_pace, not_after) = self._pacing, self._egress_pace()
        return ClaimRequest(
            session=session_id,
            number=number,
            egress=self._egress,
            limit=limit,
            pace=pacing.pace_us,
            per_window=pacing.per_window,
            window=pacing.window_us,
            catch_up=pacing.catch_up_us,
            margin_ppm=pacing.margin_ppm,
            egress_pace=egress_pace,
            egress_burst=pacing.egress_burst_us,
            probe_lease=self._probe_lease_us,
            not_after=not_after,
        )

    def _egress_pace(self) -> tuple[int, int]:
        """Return the egress's pace, and until when by Redis's clock it may be used (us); 0 if that does not matter."""
        pace: ClaimPace = self._share.pace(self._clock.uptime())
        if pace.until_s is None:
            return pace.pace_us, 0
        if self._redis_offset_s is None:
            return self._share.least().pace_us, 0
        return pace.pace_us, int((pace.until_s + self._redis_offset_s) * US_PER_S)

    def _claims(
        self, reply: ClaimReply, elements: Sequence[Any], request: ClaimRequest, asked_at_s: float, answered_at_s: float
    ) -> Claims:
        """Return the claims of a reply. Slots count from its arrival: never too early."""
        steady_s = self._redis_clock.observe(reply.now_ms / 1000, asked_at_s, answered_at_s)
        templates = [elements[number] for number in reply.templates]

        def stored(row: ClaimRow | BehindRow, batch_traceparent: str = "") -> Stored:
            if row.template:
                return Stored(templates[row.template - 1], row.enqueued_ms, row.ttl_ms, batch_traceparent)
            content = elements[row.payload] if row.payload else None
            return Stored(content, batch_traceparent=batch_traceparent)

        claims = [
            Claim(
                lane=row.lane,
                job_id=row.job_id,
                session_id=request.session,
                token=row.token,
                slot_at_s=answered_at_s + row.wait_us / US_PER_S,
                slot_number=row.slot_number,
                lost_deliveries=row.lost_deliveries,
                stored=stored(row, row.traceparent),
                history=elements[row.history] if row.history else None,
                redis_clock_offset_ms=reply.now_ms - answered_at_s * 1000,
                redis_clock_steady_since_s=answered_at_s - steady_s,
                egress_health=EgressHealth(row.egress_health),
                rejected_keys_mark=row.rejected_keys_mark or None,
                is_cancelled=bool(row.is_cancelled),
                priority=_priority(row),
                egress_pace_us=request.egress_pace,
                coalescable=tuple((behind.job_id, stored(behind)) for behind in row.behind),
            )
            for row in reply.rows
        ]
        malformed = [MalformedEntry(row.name, row.done, postponed=bool(row.is_postponed)) for row in reply.malformed]
        next_due_s = None if reply.next_due_us < 0 else reply.next_due_us / US_PER_S
        return Claims(
            claims,
            malformed,
            next_due_s,
            is_blocked=reply.is_blocked > 0,
            lacks_probe=reply.is_blocked == LACKS_PROBE,
            has_pinned=bool(reply.has_pinned),
        )


def _priority(row: ClaimRow) -> Priority:
    return Priority.BULK if row.is_bulk else Priority.INTERACTIVE
