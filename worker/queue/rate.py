"""The leaky bucket's parameters: what a rate means in microseconds. No I/O.

The claim script keeps two rules for each user. Pace: one request every `pace_us`. Guard: at most `per_window` requests
in any window of the exchange. The pace alone does not ensure that, since two requests may be delayed differently on
their way. The guard compares each request with the one `per_window` places before it, here with 10 per window:

    request 1 is sent           it arrives, and its reply is received at r
    requests 2 to 10 are sent   the exchange allows ten in a window
    request 11                  may be sent at t, if it arrives at least a window after request 1 did

Then no window holds both request 1 and request 11, so none holds more than ten. Workers do not see arrivals; they know
when they send and when they receive. With `down` for the way of reply 1 and `up` for the way of request 11:

    request 1 arrived no later than r - down
    request 11 arrives no earlier than t + up
    so a window lies between them if t >= r + window - (up + down)

Workers do not know `up + down` either. To subtract nothing is always safe, but costs a round trip in each window. The
shortest possible round trip is safe, unless the two ways vary against each other, so that round trips do not. The
settle script measures it for each egress, since its workers share a network path, and subtracts what is certain of it:
less the fewer round trips there were and the more they vary, and nothing before there were 30 (round_trips.lua);
nothing either while another egress is in use, since reply 1 and request 11 may then take different paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from producers.errors import SettingsError
from producers.queue.bucket import MAX_PER_WINDOW, US_PER_S, WINDOW_PAD_US
from producers.settings import variable_name

CATCH_UP = 0.5
"""Maximum of a claim's lateness that the next slot makes up for, as a fraction of the pace, so that late claims do not
lower the rate. The guard still applies."""

EGRESS_MARGIN = 0.01
EGRESS_BURST_S = 0.1
"""6000 requests a minute, less 1 %, plus a burst of 0.1 s: at most 5950 in any minute. The rest is for requests that
take no slot, such as those of `copytrade doctor`."""

EGRESS_WINDOW_S = 60.0
"""The window in which the exchange counts the requests of an egress."""

MAX_LOST = 0.5
"""The largest part of an egress's rate that may be given up for its shards."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """The bucket's parameters.

    Attributes:
        pace_us: Time between two slots of one user.
        per_window: Requests that the exchange allows a user in one window.
        window_us: The exchange's window, with its pad.
        catch_up_us: Maximum of a claim's lateness that the next slot makes up for.
        egress_pace_us: Time between two slots of one egress.
        egress_burst_us: How far an egress may be ahead of its pace.
        margin_ppm: By how much a pace is longer than its rate allows, in millionths; for users with their own rate.
    """

    pace_us: int
    per_window: int
    window_us: int
    catch_up_us: int
    egress_pace_us: int
    egress_burst_us: int
    margin_ppm: int = 0

    @classmethod
    def from_rates(
        cls, *, user_rate_per_s: float, egress_rate_per_s: float, margin_percent: float, shards: int = 1
    ) -> Pacing:
        """Return the parameters for the given rates.

        Raises:
            SettingsError: the rate of the egress is too low to be divided among the shards.
        """
        per_window = max(1, min(MAX_PER_WINDOW, int(user_rate_per_s)))
        margin_factor = 1 + margin_percent / 100
        pace_us = US_PER_S / user_rate_per_s * margin_factor
        return cls(
            pace_us=max(1, round(pace_us)),
            per_window=per_window,
            window_us=round(per_window / user_rate_per_s * US_PER_S) + WINDOW_PAD_US,
            catch_up_us=round(pace_us * CATCH_UP),
            egress_pace_us=_egress_pace_us(egress_rate_per_s, shards),
            egress_burst_us=round(EGRESS_BURST_S * US_PER_S),
            margin_ppm=round(margin_percent * 10_000),
        )


def _egress_pace_us(rate_per_s: float, shards: int) -> int:
    """Return the pace of an egress. In any window each shard may begin with one request, and that is made up for.

    Raises:
        SettingsError: that would take more than half of the rate.
    """
    pace_us = US_PER_S / rate_per_s * (1 + EGRESS_MARGIN)
    if shards == 1:
        return max(1, round(pace_us))
    lost = (shards - 1) * pace_us / (EGRESS_WINDOW_S * US_PER_S)
    if lost > MAX_LOST:
        raise SettingsError(
            f"{variable_name('egress_rate_per_s')}: {rate_per_s:g} is too low for {shards} shards, each of which may"
            f" begin a minute with a request; it must be at least {_min_rate_per_s(shards):.3g}"
        )
    return math.ceil(pace_us / (1 - lost))


def _min_rate_per_s(shards: int) -> float:
    return (shards - 1) * (1 + EGRESS_MARGIN) / (EGRESS_WINDOW_S * MAX_LOST)
