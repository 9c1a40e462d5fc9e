"""What arrived and how it was answered. No I/O.

Every arrival is recorded, the newest 1,000,000 are kept; the counts and peaks cover all of them. Nothing secret is
recorded: neither headers nor bodies, only a body's trader and trace values, by which a reader can check the order.
Bytes that are not HTTP never become an arrival.
"""

from __future__ import annotations

from collections import Counter, deque

import msgspec

from ops.exchange.windows import SECOND_NS, Peak

MAX_ARRIVALS = 1_000_000


class Arrival(msgspec.Struct, kw_only=True, gc=False):
    """One request. What is not known yet, or never came to be, is empty or 0.

    Attributes:
        at_ns: when its handler began, on the double's monotonic clock, nanoseconds.
        answered_ns: when its answer was ready, or its connection given up; 0 while it is under way.
        user: the user its API key belongs to; "" without a known key.
        method: HTTP method.
        path: the path without its query.
        trader: the body's traderId.
        values: the body's trace values, in the order of its settings.
        status: the HTTP status that was answered; 0 if the connection was cut off before a status.
        code: the exchange's code, of the reply or of the verdict that the reply hid; "" if it was never judged.
        accepted: whether the exchange granted the request, whatever then happened to the reply.
        throttled: whether it was refused because of a limit of the double (not because of a fault).
        fault: the kind of the fault that struck it, "" for none.
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


class UserReport(msgspec.Struct, frozen=True, kw_only=True):
    """The arrivals of one user.

    Attributes:
        arrivals: requests.
        accepted: of these, granted by the exchange.
        throttled: of these, refused because of a limit.
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
        accepted: of these, granted by the exchange.
        throttled: of these, refused because of a limit.
        span_s: from the first arrival to the last, seconds.
        rate_per_s: (arrivals - 1) over that span.
        by_status: arrivals by HTTP status; "0" are those without one.
        by_code: arrivals by the exchange's code, of those that have one.
        by_fault: arrivals by the kind of fault that struck them, of those that were struck.
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


class _Span:
    """How many arrivals between which times."""

    __slots__ = ("accepted", "arrivals", "first_ns", "last_ns", "throttled")

    def __init__(self, at_ns: int) -> None:
        self.first_ns = self.last_ns = at_ns
        self.arrivals = self.accepted = self.throttled = 0

    def note(self, at_ns: int) -> None:
        self.arrivals += 1
        self.last_ns = at_ns

    @property
    def span_s(self) -> float:
        return (self.last_ns - self.first_ns) / SECOND_NS

    @property
    def rate_per_s(self) -> float:
        return (self.arrivals - 1) / self.span_s if self.span_s else 0.0


class _User(_Span):
    __slots__ = ("peaks",)

    def __init__(self, at_ns: int) -> None:
        super().__init__(at_ns)
        self.peaks: dict[str, Peak] = {}


class Ledger:
    """The arrivals, oldest first, and their report.

    Attributes:
        arrivals: the newest 1,000,000.
    """

    def __init__(self, max_arrivals: int = MAX_ARRIVALS) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=max_arrivals)
        self.reset()

    def reset(self) -> None:
        """Forget everything. Requests that are being answered now are not counted afterwards."""
        self.arrivals.clear()
        self._all: _Span | None = None
        self._users: dict[str, _User] = {}
        self._by_status: Counter[int] = Counter()
        self._by_code: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()

    def open(self, at_ns: int, user: str, method: str, path: str) -> Arrival:
        """Record an arrival, before anything is known of its end.

        Args:
            at_ns: when it arrived; not before the one recorded last.
            user: the user of its key, "" if there is none.
            method: HTTP method.
            path: without the query.
        """
        arrival = Arrival(at_ns=at_ns, user=user, method=method, path=path)
        self.arrivals.append(arrival)
        if self._all is None:
            self._all = _Span(at_ns)
        self._all.note(at_ns)
        tally = self._users.get(user)
        if tally is None:
            tally = self._users[user] = _User(at_ns)
        tally.note(at_ns)
        peak = tally.peaks.get(path)
        if peak is None:
            peak = tally.peaks[path] = Peak()
        peak.note(at_ns)
        return arrival

    def close(self, arrival: Arrival) -> None:
        """Count the end of an arrival, whose fields are complete now. Call it once."""
        tally = self._users.get(arrival.user)
        if self._all is None or tally is None or arrival.at_ns < self._all.first_ns:
            return  # it is from before a reset
        for span in (self._all, tally):
            span.accepted += arrival.accepted
            span.throttled += arrival.throttled
        self._by_status[arrival.status] += 1
        if arrival.code:
            self._by_code[arrival.code] += 1
        if arrival.fault:
            self._by_fault[arrival.fault] += 1

    def report(self) -> Report:
        """The counts so far. Arrivals that have not ended are in `arrivals` and `rate_per_s` only."""
        total = self._all or _Span(0)
        return Report(
            arrivals=total.arrivals,
            answered=self._by_status.total() - self._by_status[0],
            accepted=total.accepted,
            throttled=total.throttled,
            span_s=total.span_s,
            rate_per_s=total.rate_per_s,
            by_status={str(status): count for status, count in sorted(self._by_status.items())},
            by_code=dict(sorted(self._by_code.items())),
            by_fault=dict(sorted(self._by_fault.items())),
            users={
                user: UserReport(
                    arrivals=tally.arrivals,
                    accepted=tally.accepted,
                    throttled=tally.throttled,
                    peak_in_1s=max(peak.highest for peak in tally.peaks.values()),
                    rate_per_s=tally.rate_per_s,
                )
                for user, tally in sorted(self._users.items())
            },
        )
