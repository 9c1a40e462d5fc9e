"""The recorded requests and their replies. No I/O.

The newest 1,000,000 arrivals are kept; the counts and peaks cover all arrivals. Headers and bodies are not recorded,
because they are secret. Of a body only the trader and the trace values are, which show the order of changes. Bytes
that are not HTTP are not recorded.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import msgspec

from ops.exchange.windows import SECOND_NS, Peak

MAX_ARRIVALS = 1_000_000


class Arrival(msgspec.Struct, kw_only=True, gc=False):
    """One request. Values that are unknown, or not known yet, are empty or 0.

    Attributes:
        at_ns: when its handler started, nanoseconds of the double's monotonic clock.
        answered_ns: when its reply was ready or its connection was aborted; 0 until then.
        user: the owner of its API key; "" without a known key.
        method: HTTP method.
        path: the path without its query.
        trader: the body's traderId.
        values: the body's trace values, in the order of its settings.
        status: HTTP status of the reply; 0 if the connection was aborted instead.
        code: the exchange's code, also when a fault hid the reply; "" if there was no verdict.
        accepted: whether the exchange accepted the request, even if a fault hid the reply.
        throttled: whether it was over a limit of the double; a fault's 429 does not count.
        fault: the kind of fault that affected it, "" for none.
        disconnected: whether the client had closed the connection before the reply was ready, as one that was killed.
        remote: the IP address that it came from.
    """

    at_ns: int
    answered_ns: int = 0
    user: str
    method: str
    path: str
    trader: str = ""
    values: tuple[str, ...] = ()
    status: int = 0
    code: str = ""
    accepted: bool = False
    throttled: bool = False
    fault: str = ""
    disconnected: bool = False
    remote: str = ""


class UserReport(msgspec.Struct, frozen=True, kw_only=True):
    """The arrivals of one user.

    Attributes:
        arrivals: requests.
        accepted: of these, accepted by the exchange.
        throttled: of these, over a limit.
        peak_in_1s: the highest number of arrivals at one endpoint in any sliding window of 1 s.
        rate_per_s: (arrivals - 1) over the time from the first to the last; 0.0 for fewer than two.
    """

    arrivals: int
    accepted: int
    throttled: int
    peak_in_1s: int
    rate_per_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All arrivals since the start or the last reset.

    Attributes:
        arrivals: requests.
        answered: of these, with an HTTP status.
        accepted: of these, accepted by the exchange.
        throttled: of these, over a limit.
        span_s: from the first arrival to the last, seconds.
        rate_per_s: (arrivals - 1) over that span.
        by_status: arrivals by HTTP status; "0" without one.
        by_code: arrivals by the exchange's code, of those with one.
        by_fault: arrivals by kind of fault, of those affected by one.
        users: by user ID; arrivals without a known key are under "".
    """

    arrivals: int
    answered: int
    accepted: int
    throttled: int
    span_s: float
    rate_per_s: float
    by_status: dict[str, int]
    by_code: dict[str, int]
    by_fault: dict[str, int]
    users: dict[str, UserReport]


@dataclass(slots=True)
class _Totals:
    """Counts of arrivals, the time that they span, and for a user the peak at each path."""

    first_ns: int = 0
    last_ns: int = 0
    arrivals: int = 0
    accepted: int = 0
    throttled: int = 0
    peaks: defaultdict[str, Peak] = field(default_factory=lambda: defaultdict(Peak))

    def observe(self, at_ns: int) -> None:
        if not self.arrivals:
            self.first_ns = at_ns
        self.arrivals += 1
        self.last_ns = at_ns

    @property
    def span_s(self) -> float:
        return (self.last_ns - self.first_ns) / SECOND_NS

    @property
    def rate_per_s(self) -> float:
        return (self.arrivals - 1) / self.span_s if self.span_s else 0.0


class Ledger:
    """The arrivals, oldest first, and their report.

    Attributes:
        arrivals: the newest `max_arrivals`.
    """

    def __init__(self, max_arrivals: int = MAX_ARRIVALS) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=max_arrivals)
        self.reset()

    def reset(self) -> None:
        """Clear everything. Replies to requests in progress will not be counted."""
        self.arrivals.clear()
        self._totals = _Totals()
        self._users: defaultdict[str, _Totals] = defaultdict(_Totals)
        self._by_status: Counter[int] = Counter()
        self._by_code: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()

    def record_arrival(self, at_ns: int, user: str, method: str, path: str) -> Arrival:
        """Record an arrival, not earlier than the previous one, whose reply is not known yet."""
        arrival = Arrival(at_ns=at_ns, user=user, method=method, path=path)
        self.arrivals.append(arrival)
        self._totals.observe(at_ns)
        totals = self._users[user]
        totals.observe(at_ns)
        totals.peaks[path].observe(at_ns)
        return arrival

    def record_reply(self, arrival: Arrival) -> None:
        """Count an arrival whose attributes are complete. Call this once per arrival."""
        if arrival.user not in self._users or arrival.at_ns < self._totals.first_ns:
            return  # it arrived before a reset
        for counts in (self._totals, self._users[arrival.user]):
            counts.accepted += arrival.accepted
            counts.throttled += arrival.throttled
        self._by_status[arrival.status] += 1
        if arrival.code:
            self._by_code[arrival.code] += 1
        if arrival.fault:
            self._by_fault[arrival.fault] += 1

    def report(self) -> Report:
        """Return the counts so far. Requests in progress are only in `arrivals`, `span_s` and `rate_per_s`."""
        everything = self._totals
        return Report(
            arrivals=everything.arrivals,
            answered=self._by_status.total() - self._by_status[0],
            accepted=everything.accepted,
            throttled=everything.throttled,
            span_s=everything.span_s,
            rate_per_s=everything.rate_per_s,
            by_status={str(status): count for status, count in sorted(self._by_status.items())},
            by_code=dict(sorted(self._by_code.items())),
            by_fault=dict(sorted(self._by_fault.items())),
            users={
                user: UserReport(
                    arrivals=totals.arrivals,
                    accepted=totals.accepted,
                    throttled=totals.throttled,
                    peak_in_1s=max(peak.highest for peak in totals.peaks.values()),
                    rate_per_s=totals.rate_per_s,
                )
                for user, totals in sorted(self._users.items())
            },
        )
