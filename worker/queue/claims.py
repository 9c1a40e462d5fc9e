"""What is held of a lane, and what shall become of it: values between claim, attempt and settle. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from producers.contract.messages import Attempt, JobResult

REMOVE_MARK = "-"
"""The `Settlement.rejected_keys_mark` that ends a user's stop."""


class EgressHealth(IntEnum):
    """What an egress went through of late, as claim.lua tells it."""

    HEALTHY = 0
    DEGRADED = 1
    """Other users fail too, and nobody had a good reply since."""
    PROBING = 2
    """The breaker is open, and this claim is its probe."""


class Breaker(IntEnum):
    """What a settlement did to its egress, as breaker.lua tells it."""

    NOTHING = 0
    OPENED = 1
    CLOSED = 2
    HELD = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A lane's head, held by this worker until its lease ends.

    Attributes:
        lane: the lane's name.
        job_id: the head's ID.
        token: proves the claim when it is settled.
        slot_at_s: not to be sent before this, monotonic clock.
        lease_until_s: not to be sent nor settled after this, monotonic clock.
        slot_number: which slot of its user's bucket it took.
        lost_deliveries: how many workers in a row lost this head with their lease.
        payload: the stored change; None if it is absent or too large.
        state: what earlier attempts left; None if there were none.
        redis_clock_offset_ms: how far Redis's clock (Unix milliseconds) is ahead of the monotonic one.
        coalescable: the changes behind it that may be sent with it, in their order: job ID and payload.
        egress_health: what its egress went through of late.
        rejected_keys_mark: of its user's keys, if they were refused; see `keys.REFUSED`.
    """

    lane: str
    job_id: str
    token: str
    slot_at_s: float
    lease_until_s: float
    slot_number: int
    lost_deliveries: int
    payload: bytes | None
    state: bytes | None
    redis_clock_offset_ms: float
    coalescable: tuple[tuple[str, bytes], ...] = ()
    egress_health: EgressHealth = EgressHealth.HEALTHY
    rejected_keys_mark: str | None = None

    def redis_ms(self, monotonic_s: float) -> int:
        """A moment of the monotonic clock on Redis's clock, Unix milliseconds: the clock of all that is stored."""
        return round(monotonic_s * 1000 + self.redis_clock_offset_ms)


@dataclass(frozen=True, slots=True)
class MalformedLane:
    """Something on the schedule that cannot be read.

    Attributes:
        lane: its name, with what is no text escaped.
        done: what was done about it.
        scheduled: whether the lane is still on the schedule.
    """

    lane: str
    done: str
    scheduled: bool


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim brought.

    Attributes:
        claims: the heads to attempt.
        malformed: what could not be read.
        next_due_s: seconds until another lane can be claimed, 0 if at once; None if none is scheduled.
    """

    claims: list[Claim]
    malformed: list[MalformedLane]
    next_due_s: float | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What shall become of a claim.

    Attributes:
        claim: the claim.
        replied_at_s: when the reply or the failure of its request came, monotonic clock; None if nothing was sent.
        round_trip_s: from the request's writing to its reply; None if there was no reply.
        result: how the change ended; None puts the lane back.
        delay_s: with no result: when to try again, seconds from now.
        state: what the next attempt must know, or with a result those that were sent with it; b"" for nothing.
        hold_s: nothing of this user is sent for so long; 0 for no hold.
        reason: with no result: why, for the log.
        joined: with a result: how the changes that were sent with it ended, in their order.
        send_alone_until: with no result: the change up to which they are sent one by one from now on; "" for no change.
        failure_kind: of the request: "failing", "throttled", "refused <code>"; "" for none.
        rejected_keys_mark: what is kept of a user whose keys were refused; REMOVE_MARK ends that; "" for no change.
        attempt: the request; None if nothing was sent.
        requeue_history: with a result that the egress may be to blame for: the state, if the lane is put back instead.
    """

    claim: Claim
    replied_at_s: float | None = None
    round_trip_s: float | None = None
    result: JobResult | None = None
    delay_s: float = 0.0
    state: bytes = b""
    hold_s: float = 0.0
    reason: str = "given back unsent"
    joined: tuple[JobResult, ...] = ()
    send_alone_until: str = ""
    failure_kind: str = ""
    rejected_keys_mark: str = ""
    attempt: Attempt | None = None
    requeue_history: bytes = b""

    @property
    def reply(self) -> str:
        """What came of the request, for the log."""
        if self.attempt is None:
            return "nothing was sent"
        one = self.attempt
        return f"{one.verdict} {one.code or one.status or '-'} {one.message or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did.

    Attributes:
        fenced: the lane had been lost with its lease; nothing was changed.
        ended: how many changes have their outcome by it.
        due_in_s: when the lane is due again; None if it is empty or was lost.
        breaker: what happened to the egress.
    """

    fenced: bool
    ended: int
    due_in_s: float | None
    breaker: Breaker = Breaker.NOTHING
