"""What a check says, and the one thing that excuses an order that was not kept. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.chaos.evidence import Evidence, Lane

AFTER_A_STALL_NS = 500_000_000
"""What a stalled worker was about to write, it writes as soon as it goes on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one promise.

    Attributes:
        promise: which.
        violations: each explained; none if it held.
    """

    promise: str
    violations: list[str]

    @property
    def holds(self) -> bool:
        """Whether it was kept."""
        return not self.violations


@dataclass(slots=True)
class Late:
    """Requests that a stalled worker sent after its lease: the documented case.

    A process can be stopped between its last look at the lease and the write of the request. It has one thread, so that
    is one request for each stall, within a moment of its going on; a second one is a violation.

    Attributes:
        seen: the evidence.
        excused: which stall excuses which lane.
    """

    seen: Evidence
    excused: dict[int, Lane] = field(default_factory=dict)

    def explains(self, lane: Lane, at_ns: int) -> bool:
        """Whether a request of a lane that came too late is one of these."""
        for number, stall in enumerate(self.seen.stalls):
            long_enough = stall.until_ns - stall.from_ns > (self.seen.lease_s - self.seen.request_timeout_s) * 1e9
            at_once = 0 <= at_ns - stall.until_ns < AFTER_A_STALL_NS
            if long_enough and at_once and self.excused.setdefault(number, lane) == lane:
                return True
        return False

    def explains_lane(self, lane: Lane) -> bool:
        """Whether one of these was of this lane."""
        return lane in self.excused.values()
