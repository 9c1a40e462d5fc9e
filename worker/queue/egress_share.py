"""By which pace of its egress a worker claims in a shard."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from worker.queue.rate import Pacing


class ClaimPace(NamedTuple):
    """A pace of an egress in a shard.

    Attributes:
        pace_us: time between two slots.
        until_s: when a claim by it must have been made, `Clock.uptime`; None if it does not matter.
    """

    pace_us: int
    until_s: float | None = None


class EgressShare(Protocol):
    """What a shard has of its egress's rate."""

    def pace(self, now_s: float) -> ClaimPace:
        """Return the pace for a claim that is made now, by `Clock.uptime`."""
        ...

    def least(self) -> ClaimPace:
        """Return the pace that is safe at any time."""
        ...


class WholeEgress:
    """All of the rate: the share of the only shard."""

    def __init__(self, pacing: Pacing) -> None:
        self._pace = ClaimPace(pacing.egress_pace_us)

    def pace(self, now_s: float) -> ClaimPace:  # noqa: ARG002 - as in the protocol
        """Return the egress's pace."""
        return self._pace

    def least(self) -> ClaimPace:
        """Return the egress's pace."""
        return self._pace
