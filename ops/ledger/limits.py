"""The limits of the exchange, judged by when requests arrived. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ops.exchange.rules import SETTINGS_PATH
from ops.ledger.evidence import Evidence

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Peak(NamedTuple):
    """The fullest sliding window: the number of its requests, and the index of the last one."""

    requests: int
    last: int


def within_user_limit(seen: Evidence) -> Iterator[str]:
    """Yield each user with more requests in a sliding second than the exchange allows."""
    for user, times in _arrival_times(seen).items():
        peak = fullest_window(times, SECOND_NS)
        if peak.requests > seen.user_limit_per_s:
            took_ms = (times[peak.last] - times[peak.last - peak.requests + 1]) / 1e6
            yield f"{user} had {peak.requests} requests within {took_ms:.1f} ms, up to {seen.clock(times[peak.last])}"


def within_address_limit(seen: Evidence) -> Iterator[str]:
    """Yield the fullest sliding minute, if it has more requests than the exchange allows one address."""
    peak = busiest_minute(seen)
    if peak.requests > seen.address_limit_per_min:
        yield f"{peak.requests} requests within a minute, up to {seen.clock(seen.arrivals[peak.last].at_ns)}"


def busiest_user(seen: Evidence) -> tuple[int, str]:
    """Return the most requests of one user in any second, and that user."""
    peaks = ((fullest_window(times, SECOND_NS).requests, user) for user, times in _arrival_times(seen).items())
    return max(peaks, default=(0, ""), key=lambda peak: peak[0])


def busiest_minute(seen: Evidence) -> Peak:
    """Return the minute with the most requests."""
    return fullest_window([arrival.at_ns for arrival in seen.arrivals], MINUTE_NS)


def fullest_window(times_ns: Sequence[int], span_ns: int) -> Peak:
    """Return the window of a given length that holds the most of some rising times."""
    first, peak = 0, Peak(0, 0)
    for last, at_ns in enumerate(times_ns):
        while at_ns - times_ns[first] >= span_ns:
            first += 1
        if last - first + 1 > peak.requests:
            peak = Peak(last - first + 1, last)
    return peak


def _arrival_times(seen: Evidence) -> dict[str, list[int]]:
    times: defaultdict[str, list[int]] = defaultdict(list)
    for arrival in seen.arrivals:
        if arrival.user and arrival.path == SETTINGS_PATH:
            times[arrival.user].append(arrival.at_ns)
    return times
