"""The values that pass between claim, attempt and settle. No I/O."""

from __future__ import annotations

import math
from enum import IntEnum

import msgspec

from producers.contract.messages import Attempt, JobResult, Priority
from producers.queue.breaker import BreakerEvent


class EgressHealth(IntEnum):
    """Health of an egress, from the results of its latest requests. Shared with claim.lua."""

    HEALTHY = 0
    DEGRADED = 1
    """Requests of other users fail too, and no good reply has come since."""
    PROBING = 2
    """The breaker is open, and this claim is its probe."""


class Stored(msgspec.Struct, frozen=True):
    """What is stored of a change.

    Attributes:
        content: The stored change, or its batch's template; None if it is absent or too large.
        enqueued_ms: When a change of a template was enqueued, Unix milliseconds, Redis's clock; 0 for others.
        ttl_ms: The TTL of a change of a template; 0 for others.
        batch_traceparent: The trace context of its batch; "" for none.
    """

    content: bytes | None
    enqueued_ms: int = 0
    ttl_ms: int = 0
    batch_traceparent: str = ""

    @property
    def is_template(self) -> bool:
        """Whether the content is its batch's, for another user."""
        return self.ttl_ms > 0


class Claim(msgspec.Struct, frozen=True):
    """A lane's head, in flight under this worker's session.

    Attributes:
        lane: Name of the lane.
        job_id: ID of the head.
        session_id: The session; settling needs it.
        token: Proves the claim in its session.
        slot_at_s: Earliest time to send, monotonic clock.
        slot_number: Number of the slot in its user's bucket.
        lost_deliveries: How many workers in a row died with this head in flight.
        stored: The stored change.
        history: The stored attempt history of the head; None if there is none.
        redis_clock_offset_ms: Redis's clock (Unix milliseconds) minus the monotonic clock.
        coalescable: Job ID and stored change of the changes behind the head that may be sent with it, in lane order.
        egress_health: State of the egress at the time of the claim.
        rejected_keys_mark: Mark of a user whose API keys were rejected (see `keys.rejected_keys`); None for others.
        redis_clock_steady_since_s: Since when Redis's clock has certainly not been set, monotonic clock.
        is_cancelled: Whether its batch was cancelled.
        priority: What the lane was claimed as.
        egress_pace_us: The pace of the egress by which its slot was taken; 0 for all of its rate.
    """

    lane: str
    job_id: str
    session_id: str
    token: str
    slot_at_s: float
    slot_number: int
    lost_deliveries: int
    stored: Stored
    history: bytes | None
    redis_clock_offset_ms: float
    coalescable: tuple[tuple[str, Stored], ...] = ()
    egress_health: EgressHealth = EgressHealth.HEALTHY
    rejected_keys_mark: str | None = None
    redis_clock_steady_since_s: float = math.inf
    is_cancelled: bool = False
    priority: Priority = Priority.INTERACTIVE
    egress_pace_us: int = 0

    def redis_ms(self, monotonic_s: float) -> int:
        """Convert a monotonic time to Redis's clock, in Unix milliseconds: all stored times are of that clock."""
        return round(monotonic_s * 1000 + self.redis_clock_offset_ms)


class MalformedEntry(msgspec.Struct, frozen=True):
    """A lane or a user that the claim script could not read.

    Attributes:
        name: Name of the lane or the user, with bytes that are not text escaped.
        done: What the script did about it.
        postponed: Whether it cannot be read, and stays on the schedule for later.
    """

    name: str
    done: str
    postponed: bool


class Claims(msgspec.Struct, frozen=True):
    """The reply to a claim.

    Attributes:
        claims: The heads to attempt.
        malformed: The entries that could not be read.
        next_due_s: Seconds until another user can be claimed for, 0 if one is due now; None if none is scheduled.
        is_blocked: Whether the egress is paused, or its breaker is open.
        lacks_probe: Whether its breaker is open, and nobody is there to probe.
        has_pinned: Whether users are pinned to the egress.
    """

    claims: list[Claim]
    malformed: list[MalformedEntry]
    next_due_s: float | None
    is_blocked: bool = False
    lacks_probe: bool = False
    has_pinned: bool = False


class SentRequest(msgspec.Struct, frozen=True):
    """A request that was sent, and what it shows about its user's API keys and about its egress.

    Attributes:
        attempt: The request as it is stored.
        ended_s: When its reply or its failure came, monotonic clock.
        round_trip_s: From writing it to its reply; None if no reply came.
        fingerprint: Fingerprint of the API keys that signed it if they were rejected; "" if not.
        keys_replaced: Whether these keys were rejected and the user has other ones now.
        retry_after_s: How long the exchange asks to wait; None if it does not say.
        failure_kind: "failing", "throttled" or "refused <code>"; None if neither user nor egress was at fault.
        rejected_keys_mark: The user's mark after it; None for no mark.
        late_until_s: Until when it may still be applied although its fate is unknown, monotonic clock; 0 if it is
            known.
        was_aborted: Whether the worker gave it up while it was under way.
        is_egress_fault: Whether the egress alone is at fault: its proxy made no connection.
    """

    attempt: Attempt
    ended_s: float
    round_trip_s: float | None
    fingerprint: str = ""
    keys_replaced: bool = False
    retry_after_s: float | None = None
    failure_kind: str | None = None
    rejected_keys_mark: str | None = None
    late_until_s: float = 0.0
    was_aborted: bool = False
    is_egress_fault: bool = False

    def __str__(self) -> str:
        reply = self.attempt
        return f"{reply.verdict} {reply.code or reply.status or '-'} {reply.message or ''}".rstrip()


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that ends a claim's change, and the changes that were sent with it.

    Attributes:
        claim: The claim.
        results: The head's result, then those of the changes sent with it, in lane order.
        request: The request; None if nothing was sent.
        history: History to keep for changes behind the head that may have been sent with it; None to keep none.
        requeue_history: History with which the script requeues the lane if the egress is at fault; None to end anyway.
        traceparent: Trace context that a dead letter of a change of a template is stored with; "" for none.
    """

    claim: Claim
    results: tuple[JobResult, ...]
    request: SentRequest | None = None
    history: bytes | None = None
    requeue_history: bytes | None = None
    traceparent: str = ""


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that puts a claim's lane back on the schedule.

    Attributes:
        claim: The claim.
        history: The head's attempt history.
        reason: Why, for the log.
        request: The request; None if nothing was sent.
        delay_s: Seconds until the next attempt.
        hold_s: Seconds during which nothing of this user is sent; 0 for no hold.
        one_by_one: Whether the changes that were claimed together must be sent alone from now on.
        waits_for: What the lane waits for, for whoever asks; "" for nothing in particular.
    """

    claim: Claim
    history: bytes
    reason: str
    request: SentRequest | None = None
    delay_s: float = 0.0
    hold_s: float = 0.0
    one_by_one: bool = False
    waits_for: str = ""


Settlement = Finish | Requeue


class Settled(msgspec.Struct, frozen=True):
    """What the settle script did.

    Attributes:
        fenced: Whether the session no longer held the lane; then the lane was not changed.
        finished: How many changes ended.
        breaker: What the settlement did to the egress's breaker.
        again_in_s: When the head can be attempted again at the earliest: the lane is due, its user's next slot has come
            and no hold or open breaker stops it. 0 if the head ended.
        next_due_s: Seconds until the earliest user is due that this settlement, or one written with it, scheduled; None
            for none.
        is_repeated: Whether it was sent again after Redis had not replied: `fenced` then probably means that the first
            run wrote it.
    """

    fenced: bool
    finished: int
    breaker: BreakerEvent = BreakerEvent.NONE
    again_in_s: float = 0.0
    next_due_s: float | None = None
    is_repeated: bool = False
