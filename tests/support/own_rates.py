"""Users' own rates, and the requests that the exchange sees under them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import START_US, ManualClock
from worker.queue.claims import Claim

USER = "10:01"
RATES = (None, 0.5, 1, 2.5, 5, 9, 10, 20, 150)
SOME_RATES = (None, 0.5, 2.5, 9, 150)


def window_of(rate: float | None) -> tuple[int, float]:
    """Return how many requests a rate allows in how many seconds, as the exchange counts."""
    if rate is None:
        return 10, 1.0
    count = max(1, min(100, int(rate)))
    return count, count / rate


@dataclass
class Requests:
    """The requests of one user, each with the rate that was in force when it was claimed."""

    seen: list[tuple[int, float | None]] = field(default_factory=list)

    def add(self, arrived_us: int, rate: float | None) -> None:
        """Add an arrival."""
        self.seen.append((arrived_us, rate))

    def check(self) -> None:
        """Check that no window has more requests than the rate of its last one allows."""
        ordered = sorted(self.seen, key=lambda each: each[0])
        for place, (arrived_us, rate) in enumerate(ordered):
            count, window_s = window_of(rate)
            if place >= count:
                assert arrived_us - ordered[place - count][0] >= window_s * 1e6 - 1, f"{count + 1} within {window_s} s"


async def answered_at_once(lanes: Lanes, clock: ManualClock, count: int) -> list[int]:
    """Return the next slots, each answered when it is sent."""
    slots: list[int] = []
    while len(slots) < count:
        claims = await lanes.claims()
        for claim in claims.claims:
            slots.append(await slot_us(lanes, claim))
            clock.advance_to_us(slots[-1])
            await lanes.done(claim, took_s=0.0)
        if not claims.claims:
            assert claims.next_due_s is not None, "nothing will ever be due"
            clock.advance(claims.next_due_s + 0.001)
    return slots


async def slot_us(lanes: Lanes, claim: Claim) -> int:
    """Return when a claim may be sent, Unix microseconds."""
    assert isinstance(lanes.clock, ManualClock)
    return START_US + round(claim.slot_at_s * 1e6)


async def backlog(lanes: Lanes, count: int, lanes_of_it: int = 1) -> None:
    """Submit so many changes of the user."""
    await lanes.submit(*((f"j{n}", change(USER, f"t{n % lanes_of_it}")) for n in range(count)))
