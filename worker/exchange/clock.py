"""The exchange's time, estimated from its replies. No I/O.

The exchange rejects a request whose timestamp is more than 30 s from its own time (Bitget API documentation,
"Signature", read December 2025). Every reply contains its time as `requestTime`.

The offset is kept relative to the monotonic clock, so changes of this machine's wall clock have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.clock import Clock

SAMPLE_TTL_S = 60.0
"""Age at which any newer sample replaces a sample. At `MAX_DRIFT` it is then 30 ms off."""

MAX_DRIFT = 500e-6
"""The maximum slew rate of NTP."""

TOLERANCE_MS = 1_000.0
"""How far before its request a reply's time may lie: servers of the exchange may disagree by some milliseconds, and may
write whole seconds."""

MAX_STALE_S = 5.0
"""How long all replies may be stale by the same time. After that the estimate is wrong, or the time is a constant: left
over replies are neither that regular nor alone for that long."""

MAX_LEFT_OVER_MS = 120_000.0
"""How old a left over reply can be: twice as long as an idle connection is kept. An older time is of another clock."""

_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """The exchange's offset from the monotonic clock, at one reply. Its error is at most half of the round trip."""

    offset_ms: float
    round_trip_s: float
    taken_s: float
    request_time_ms: int

    def max_error_ms(self, at_s: float) -> float:
        """Return how far off its offset is at most at a later time."""
        return (self.round_trip_s / 2 + MAX_DRIFT * (at_s - self.taken_s)) * _MS_PER_S


class ExchangeClock:
    """Estimates the exchange's time from (sent, received, `requestTime`).

    The exchange wrote its time between send and receipt. The estimate assumes the middle, so its error is at most half
    of the round trip. A sample is used until one with a shorter round trip arrives or it is `SAMPLE_TTL_S` old.

    The same estimate tells stale replies: those that the exchange wrote before their request was sent, so that they are
    left over from another request.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sample: _Sample | None = None
        self._is_running = False
        self._stale: _Sample | None = None  # the first of those that are stale by the same time

    def now_ms(self) -> int:
        """Return the exchange's time, Unix milliseconds; this machine's wall clock before the first sample."""
        if self._sample is None:
            return self._clock.wall_ms()
        return round(self._clock.monotonic() * _MS_PER_S + self._sample.offset_ms)

    def offset_s(self) -> float | None:
        """Return the exchange's time less this machine's, seconds; None before the first sample."""
        return None if self._sample is None else (self.now_ms() - self._clock.wall_ms()) / _MS_PER_S

    def add_sample(
        self, sent_s: float, received_s: float, request_time_ms: int, *, corrects_wall_clock: bool = False
    ) -> bool:
        """Update the estimate from a reply. Return False if the reply is stale: written before its request was sent.

        Args:
            sent_s: when the request was sent, on the monotonic clock.
            received_s: when its reply had been read, on the monotonic clock.
            request_time_ms: the reply's `requestTime`, Unix milliseconds.
            corrects_wall_clock: whether a first sample may lie before this machine's wall clock. That of a reply that
                ends a change may not, since it could be left over.
        """
        middle_ms = (sent_s + received_s) / 2 * _MS_PER_S
        sample = _Sample(request_time_ms - middle_ms, received_s - sent_s, received_s, request_time_ms)
        if self._is_stale(sample, sent_s) or (not corrects_wall_clock and self._precedes_wall_clock(sample, sent_s)):
            if self._stale is None or not self._agree(self._stale, sample):
                self._stale = sample
            if received_s - self._stale.taken_s < MAX_STALE_S:
                return False
            self.reset()
        self._stale = None
        previous = self._sample
        if previous is not None:
            advanced_ms = request_time_ms - previous.request_time_ms
            self._is_running |= advanced_ms > (received_s - previous.taken_s) / 2 * _MS_PER_S
        if (
            previous is None
            or sample.round_trip_s <= previous.round_trip_s
            or received_s - previous.taken_s > SAMPLE_TTL_S
        ):
            self._sample = sample
        return True

    def _is_stale(self, sample: _Sample, sent_s: float) -> bool:
        known = self._sample
        if known is None or (sample.request_time_ms == known.request_time_ms and not self._is_running):
            return False  # a time that stands still is no clock
        earliest_ms = sent_s * _MS_PER_S + known.offset_ms - known.max_error_ms(sent_s) - TOLERANCE_MS
        return sample.request_time_ms < earliest_ms

    def _precedes_wall_clock(self, sample: _Sample, sent_s: float) -> bool:
        """Return whether a first sample is that of a left over reply, if this machine's wall clock is right."""
        if self._sample is not None:
            return False
        sent_ms = self._clock.wall_ms() - (self._clock.monotonic() - sent_s) * _MS_PER_S
        return TOLERANCE_MS < sent_ms - sample.request_time_ms < MAX_LEFT_OVER_MS

    def _agree(self, one: _Sample, other: _Sample) -> bool:
        """Return whether two stale replies show the same clock, or the same constant."""
        is_constant = one.request_time_ms == other.request_time_ms and not self._is_running
        return is_constant or abs(one.offset_ms - other.offset_ms) <= TOLERANCE_MS

    def reset(self) -> None:
        """Drop the sample, so that the next one is used whatever its round trip.

        Called for a reply of class clock skew, which shows that the estimate is wrong: a laptop's monotonic clock stops
        while it sleeps. The `requestTime` of the same reply is the next sample.
        """
        self._sample = self._stale = None
        self._is_running = False
