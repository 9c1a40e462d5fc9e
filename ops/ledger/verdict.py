"""What a check returns, and the one excuse for a late request. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.ledger.evidence import Evidence, Lane

SEND_AFTER_STALL_NS = 500_000_000
"""How long after a stall a worker may still write the request that it was about to write."""
MAX_LISTED = 3
"""Maximum number of violations in `detail`; the others are counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one guarantee.

    Attributes:
        name: of the guarantee.
        violations: each explained; none if the guarantee held.
        summary: what was examined.
    """

    name: str
    violations: list[str]
    summary: str = ""

    @property
    def holds(self) -> bool:
        """Whether there is no violation."""
        return not self.violations

    @property
    def detail(self) -> str:
        """What was examined, or what was violated, in one line."""
        if self.holds:
            return self.summary
        hidden = len(self.violations) - MAX_LISTED
        return "; ".join(self.violations[:MAX_LISTED]) + (f"; and {hidden} more" if hidden > 0 else "")


@dataclass(slots=True)
class StallExcuses:
    """Requests that a stalled worker sent after the end of its session.

    A process can be stopped between its last check of the session and the write of the request. It has one thread, so
    this is one request for each stall, right after the stall. A second one is a violation.

    Attributes:
        evidence: what is judged.
        used: the lane that each stall has excused, by the number of the stall.
    """

    evidence: Evidence
    used: dict[int, Lane] = field(default_factory=dict)

    def excuse(self, lane: Lane, at_ns: int) -> bool:
        """Return whether a stall excuses a lane's request; it then excuses no other lane."""
        max_unnoticed_ns = self.evidence.session_ttl_s / 2 * 1e9
        for number, stall in enumerate(self.evidence.stalls):
            is_long = stall.until_ns - stall.from_ns > max_unnoticed_ns
            is_soon = 0 <= at_ns - stall.until_ns < SEND_AFTER_STALL_NS
            if is_long and is_soon and self.used.setdefault(number, lane) == lane:
                return True
        return False

    def has_excused(self, lane: Lane) -> bool:
        """Return whether a request of this lane was excused."""
        return lane in self.used.values()
