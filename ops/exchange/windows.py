"""Limits and peaks over sliding windows. No I/O; all times are nanoseconds of one monotonic clock.

A window of span S that ends at t is (t - S, t]: an arrival exactly S after another is outside its window. Each arrival
costs amortised O(1).

The exchange does not document whether its windows are fixed or sliding (Bitget API documentation, "Rate limit": only
counts per time). A client that stays below a sliding limit also stays below a fixed one, so the double's are sliding.
"""

from __future__ import annotations

from collections import deque

SECOND_NS = 1_000_000_000


class SlidingWindow:
    """At most `limit` arrivals in any window of `span_ns`. Rejected arrivals count as well."""

    __slots__ = ("_latest", "_span_ns")

    def __init__(self, limit: int, span_ns: int) -> None:
        self._latest: deque[int] = deque(maxlen=limit)
        self._span_ns = span_ns

    def admit(self, at_ns: int) -> bool:
        """Count an arrival, not earlier than the previous one. Return whether it is within the limit."""
        latest = self._latest
        # `latest` holds the last `limit` arrivals. When it is full, its oldest must already be outside the window.
        within = len(latest) < (latest.maxlen or 0) or at_ns - latest[0] >= self._span_ns
        latest.append(at_ns)
        return within


class EgressWindow:
    """The limit of one remote IP: a sliding minute. After a breach nothing is admitted for a recovery time.

    Bitget API documentation, "FAQ", question 10: 6000 requests per IP and minute; a breach takes 5 minutes to recover.
    Arrivals during the recovery count toward the next minute, but do not lengthen the recovery.
    """

    __slots__ = ("_blocked_until_ns", "_recovery_ns", "_window")

    def __init__(self, limit: int, recovery_ns: int) -> None:
        self._window = SlidingWindow(limit, 60 * SECOND_NS)
        self._recovery_ns = recovery_ns
        self._blocked_until_ns: int | None = None

    def admit(self, at_ns: int) -> bool:
        """Count an arrival, not earlier than the previous one. Return whether it is within the limit."""
        within = self._window.admit(at_ns)
        if self._blocked_until_ns is not None and at_ns < self._blocked_until_ns:
            return False
        if not within:
            self._blocked_until_ns = at_ns + self._recovery_ns
        return within


class Peak:
    """The highest number of arrivals in any sliding window of `span_ns`.

    Attributes:
        highest: that number, 0 before the first arrival.
    """

    __slots__ = ("_recent", "_span_ns", "highest")

    def __init__(self, span_ns: int = SECOND_NS) -> None:
        self._recent: deque[int] = deque()
        self._span_ns = span_ns
        self.highest = 0

    def observe(self, at_ns: int) -> None:
        """Count an arrival, not earlier than the previous one."""
        recent = self._recent
        recent.append(at_ns)
        while at_ns - recent[0] >= self._span_ns:
            recent.popleft()
        self.highest = max(self.highest, len(recent))
