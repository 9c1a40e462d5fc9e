"""The shortest round trip to the exchange, as a credit for pacing. No I/O.

The exchange counts arrivals, the worker knows departures and receipts. Let the request ten before have been received
back at `r`. It arrived at the exchange at `r - down` at the latest, and the next one, sent at `t`, arrives at `t + up`
at the earliest. They are 1 s apart at the exchange if

    t >= r + 1 s - (up + down)

Waiting until `r + 1 s` is always safe and wastes a round trip. Taking a round trip off is right only if it is a lower
bound of `up + down`: of the network's floor, not of its average. So the minimum of what was seen is used, and nothing
at all before enough was seen. `up` and `down` here belong to different requests, so one round trip's minimum is a bound
only as far as each way has its own floor; the margin is for the rest.
"""

from __future__ import annotations

import math

MIN_SAMPLES = 20
"""Below this there is no credit. With 20 samples of a usual long-tailed delay the minimum is near the floor."""

MARGIN_S = 0.001
"""Taken off the minimum: timers are read at 1 ms granularity by the other side, and the two ways jitter apart."""


class RoundTripFloor:
    """The minimum round trip over the current window and the one before it.

    Two minima instead of a list of samples: O(1), and a changed network path is forgotten after one to two windows.
    A shorter path counts from its first sample on.
    """

    def __init__(self, window_s: float = 60.0) -> None:
        self._window_s = window_s
        self._started_s = -math.inf
        self._minimum_s = math.inf
        self._samples = 0
        self._previous_minimum_s = math.inf
        self._previous_samples = 0

    def observe(self, rtt_s: float, now_s: float) -> None:
        """Takes a round trip into account.

        Args:
            rtt_s: from the send of a request to the receipt of its reply, without any wait for a connection.
            now_s: the monotonic clock.
        """
        self._turn(now_s)
        self._minimum_s = min(self._minimum_s, rtt_s)
        self._samples += 1

    def floor_s(self, now_s: float) -> float:
        """A lower bound of the way to the exchange and back, in seconds; 0.0 until enough round trips were seen.

        Args:
            now_s: the monotonic clock.
        """
        self._turn(now_s)
        if self._samples + self._previous_samples < MIN_SAMPLES:
            return 0.0
        return max(0.0, min(self._minimum_s, self._previous_minimum_s) - MARGIN_S)

    def _turn(self, now_s: float) -> None:
        """Starts a new window when the current one is over."""
        age_s = now_s - self._started_s
        if age_s < self._window_s:
            return
        in_sequence = age_s < 2 * self._window_s
        self._previous_minimum_s = self._minimum_s if in_sequence else math.inf
        self._previous_samples = self._samples if in_sequence else 0
        self._started_s, self._minimum_s, self._samples = now_s, math.inf, 0
