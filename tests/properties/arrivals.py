"""Requests as the exchange sees them, and whether they keep the rate limits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from producers.queue.bucket import MAX_PER_WINDOW, US_PER_S
from worker.queue.rate import Pacing

GIVEN_BACK_WITHIN_US = US_PER_S
"""An egress may use the slot of an unsent request this much later."""


@dataclass(eq=False)
class Request:
    """One request; times are those of the steady clock.

    Attributes:
        user: its user.
        egress: the egress that it went by.
        slot_us: when it was sent.
        rate_per_s: its user's rate when it was claimed.
        epoch: how often the clock of Redis was set forward before; no window reaches across such a step.
        arrived_us: when the exchange saw it; None if it is still on its way.
        was_made: whether it was sent at all; else its slot was given back.
        lane: its lane.
        carried: the head that it was made for, and the changes behind it that may have been sent with it.
        applied_until_us: until when it may still be applied, while its fate is not known; None if it is known.
    """

    user: str
    egress: str
    slot_us: int
    rate_per_s: float
    epoch: int = 0
    arrived_us: int | None = None
    was_made: bool = True
    lane: str = ""
    carried: tuple[str, ...] = ()
    applied_until_us: int | None = None


def check(requests: list[Request], pacing: Pacing) -> None:
    """Check that no window of a user holds more than its rate allows, and that no egress is ahead of its pace."""
    by_user: dict[tuple[int, str], list[tuple[int, float]]] = defaultdict(list)
    by_egress: dict[tuple[int, str], list[int]] = defaultdict(list)
    unsent: dict[tuple[int, str], list[int]] = defaultdict(list)
    for request in requests:
        if not request.was_made:
            unsent[request.epoch, request.egress].append(request.slot_us)
        elif request.arrived_us is not None:
            by_user[request.epoch, request.user].append((request.arrived_us, request.rate_per_s))
            by_egress[request.epoch, request.egress].append(request.slot_us)
    for (_, user), arrivals in by_user.items():
        arrivals.sort()
        for number, (at_us, rate_per_s) in enumerate(arrivals):
            most = max(1, min(MAX_PER_WINDOW, int(rate_per_s)))
            if number >= most:
                apart_us = at_us - arrivals[number - most][0]
                window_us = most / rate_per_s * US_PER_S
                assert apart_us >= window_us - 1, f"user {user}: {most + 1} requests within {apart_us} us"
    for of_egress, slots_us in by_egress.items():
        slots_us.sort()
        for first, later in ((i, j) for j in range(len(slots_us)) for i in range(j)):
            spent_us = slots_us[later] - slots_us[first] + pacing.egress_burst_us
            spare = sum(
                slots_us[first] - GIVEN_BACK_WITHIN_US <= slot_us <= slots_us[later] for slot_us in unsent[of_egress]
            )
            assert later - first <= spent_us / pacing.egress_pace_us + 1 + spare, f"{of_egress} is ahead of its rate"
