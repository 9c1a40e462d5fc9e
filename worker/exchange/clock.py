"""The exchange's time, estimated from its replies. No I/O.

The exchange rejects a request whose timestamp is more than 30 s from its own time (Bitget API documentation,
"Signature", read December 2025). Every reply contains its time as `requestTime`.

The offset is kept relative to the monotonic clock, so changes of this machine's wall clock have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.clock import Clock

SAMPLE_TTL_S = 60.0
"""Age at which any newer sample replaces a sample. At 500 ppm, the maximum slew rate of NTP, it is then 30 ms off."""

_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """The exchange's offset from the monotonic clock, at one reply. Its error is at most half of the round trip."""

    offset_ms: float
    round_trip_s: float
    taken_s: float


class ExchangeClock:
    """Estimates the exchange's time from (sent, received, `requestTime`).

    The exchange wrote its time between send and receipt. The estimate assumes the middle, so its error is at most half
    of the round trip. A sample is used until one with a shorter round trip arrives or it is `SAMPLE_TTL_S` old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sample: _Sample | None = None

    def now_ms(self) -> int:
        """Return the exchange's time, Unix milliseconds; this machine's wall clock before the first sample."""
        if self._sample is None:
            return self._clock.wall_ms()
        return round(self._clock.monotonic() * _MS_PER_S + self._sample.offset_ms)

    def add_sample(self, sent_s: float, received_s: float, request_time_ms: int) -> None:
        """Update the estimate from a reply.

        Args:
            sent_s: when the request was sent, on the monotonic clock.
            received_s: when its reply had been read, on the monotonic clock.
            request_time_ms: the reply's `requestTime`, Unix milliseconds.
        """
        round_trip_s = received_s - sent_s
        previous = self._sample
        if previous is None or round_trip_s <= previous.round_trip_s or received_s - previous.taken_s > SAMPLE_TTL_S:
            middle_ms = (sent_s + received_s) / 2 * _MS_PER_S
            self._sample = _Sample(request_time_ms - middle_ms, round_trip_s, received_s)

    def reset(self) -> None:
        """Drop the sample, so that the next one is used whatever its round trip.

        Called for a reply of class clock skew, which shows that the estimate is wrong: a laptop's monotonic clock stops
        while it sleeps. The `requestTime` of the same reply is the next sample.
        """
        self._sample = None
