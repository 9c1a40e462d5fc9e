"""The leaky bucket's figures: what a rate means in microseconds. Values in, values out.

The claim script keeps two rules for each user. The pace: one request every `pace_us`, slot after slot. And the guard:
a slot is not before the end of the window that the request `per_window` places back opened. The pace alone is not
exact at the exchange, since two requests may be delayed differently on their way; the guard is:

The exchange counts arrivals, workers know departures and receipts. Let the reply to the request ten back have come at
`r`. The request had arrived at `r - down` at the latest, and the next one, sent at `t`, arrives at `t + up` at the
earliest. They are a window apart at the exchange if `t >= r + window - (up + down)`. Taking nothing off is always right
and wastes a round trip; taking off the shortest round trip seen is right as far as each way has its floor. The settle
script keeps that floor for each egress, whose workers share a path, and takes nothing off before it has seen 10, nor
while another egress is in use: the reply may then have come one way, and the next request go another.
"""

from __future__ import annotations

from dataclasses import dataclass

US_PER_S = 1_000_000

MAX_PER_WINDOW = 100
"""Entries a bucket remembers, as in bucket.lua. Above 100/s the guard works on a part of the second: as exact, and
stricter."""

WINDOW_PAD_US = 1_000
"""The exchange's window is taken 1 ms longer: its clock and ours tick in milliseconds."""

CATCH_UP = 0.5
"""How much of a pace a late claim may make good, so that being late now and then does not lower the rate. The guard
holds all the same."""

EGRESS_MARGIN = 0.01
EGRESS_BURST_S = 0.1
"""6000 a minute, less 1 %, plus a burst of 0.1 s: at most 5950 in any minute, which leaves room for time requests."""

LOOK_AHEAD_US = 25_000
"""A slot is claimed this early, so that its worker can sleep right up to it: a timer's lateness and a round trip to
Redis fit in it many times, and a waiting claim occupies its worker for no longer."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """The bucket's figures.

    Attributes:
        pace_us: between two slots of one user.
        per_window: requests that the exchange allows a user in one window.
        window_us: the exchange's window, with its pad.
        catch_up_us: how much of a late claim is made good.
        egress_pace_us: between two slots of one egress.
        egress_burst_us: how far an egress may be ahead of its pace.
        margin_factor: of the pace that a user's own rate gives.
    """

    pace_us: int
    per_window: int
    window_us: int
    catch_up_us: int
    egress_pace_us: int
    egress_burst_us: int
    margin_factor: float = 1.0

    @classmethod
    def from_rates(cls, *, user_rate_per_s: float, egress_rate_per_s: float, margin_percent: float) -> Pacing:
        """The figures for the given rates."""
        per_window = max(1, min(MAX_PER_WINDOW, int(user_rate_per_s)))
        margin_factor = 1 + margin_percent / 100
        pace_us = US_PER_S / user_rate_per_s * margin_factor
        return cls(
            pace_us=max(1, round(pace_us)),
            per_window=per_window,
            window_us=round(per_window / user_rate_per_s * US_PER_S) + WINDOW_PAD_US,
            catch_up_us=round(pace_us * CATCH_UP),
            egress_pace_us=max(1, round(US_PER_S / egress_rate_per_s * (1 + EGRESS_MARGIN))),
            egress_burst_us=round(EGRESS_BURST_S * US_PER_S),
            margin_factor=margin_factor,
        )
