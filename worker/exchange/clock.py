"""The exchange's time, learned from its replies. No I/O.

The exchange refuses a request whose timestamp is more than 30 s from its own time (Bitget API documentation,
"Signature", read December 2025), and writes its time into every reply as `requestTime`. So the offset comes for free.

It is kept against the monotonic clock: when somebody sets the wall clock of this machine, nothing changes here.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.clock import Clock

SAMPLE_LIFE_S = 60.0
"""After this a sample gives way to any newer one. At a drift of 500 ppm, the most that NTP slews by, 60 s are 30 ms."""

_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """One reading of the exchange's time: its lead over the monotonic clock, right to half of the round trip."""

    lead_ms: float
    round_trip_s: float
    taken_s: float


class ExchangeClock:
    """Estimates the exchange's time from (sent, received, `requestTime`).

    The exchange wrote its time somewhere between send and receipt; the middle is wrong by at most half of the round
    trip. So a short round trip is a good sample, and is kept until a shorter one comes or it has grown old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sample: _Sample | None = None

    @property
    def known(self) -> bool:
        """Whether `now_ms` stands on a reply; else it is this machine's wall clock."""
        return self._sample is not None

    def now_ms(self) -> int:
        """The exchange's time, Unix milliseconds."""
        if self._sample is None:
            return self._clock.wall_ms()
        return round(self._clock.monotonic() * _MS_PER_S + self._sample.lead_ms)

    def learn(self, sent_s: float, received_s: float, request_time_ms: int) -> None:
        """Takes a reply into account.

        Args:
            sent_s: when the request was sent, on the monotonic clock.
            received_s: when its reply had been read, on the monotonic clock.
            request_time_ms: the reply's `requestTime`, Unix milliseconds.
        """
        round_trip_s = received_s - sent_s
        held = self._sample
        if held is None or round_trip_s <= held.round_trip_s or received_s - held.taken_s > SAMPLE_LIFE_S:
            middle_ms = (sent_s + received_s) / 2 * _MS_PER_S
            self._sample = _Sample(request_time_ms - middle_ms, round_trip_s, received_s)

    def forget(self) -> None:
        """Drops what is known: the next sample counts, however long its round trip.

        For a reply of class clock skew, which says that the estimate is wrong (a laptop's monotonic clock stands still
        while it sleeps). That very reply has a `requestTime` to learn from.
        """
        self._sample = None
