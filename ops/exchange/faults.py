"""Fault injection: kinds of faults, and the selection of faults for a request. No I/O.

    latency         the reply is delayed by `ms` plus up to `jitter_ms`; combines with any other fault
    http_429        answered 429, as if a limit had been breached
    http_500        answered 500 with an empty body
    http_502        answered 502 with an HTML page
    code:<CODE>     answered with this code of the exchange, such as code:45001
    fail            answered code 00000 with data "fail"
    html            answered an HTML page with `status` (200, or 403 as from a firewall)
    reset_before    the connection is aborted, nothing was applied
    hang            no reply for `ms`, then the connection is aborted, nothing was applied
    outage          answered 503 with an HTML page, or aborted with `status` 0; limits are not checked
    stale           answered as a success that was written `ms` ago (one minute by default), nothing was applied
    empty           applied, then answered 200 without a body
    cut             applied, then half of the reply and the end of the connection
    reset_after     applied, then the connection is aborted: the outcome is unknown to the client
    unsolicited     applied and answered; `ms` later a second success is sent on the same connection
    big_head        applied, then answered with 900 further headers, one of them of 60,000 bytes
    bom             applied, then answered in UTF-8 with a byte order mark
    utf_16          applied, then answered in UTF-16
    gzip            applied, then answered with a body that is compressed although nobody asked for it
    x_gzip          the same by the other name of gzip

From `empty` on, the exchange's reply is hidden or rewritten; the other faults, except latency, replace it. All affected
requests are recorded and count toward the limits. A request over a limit gets 429; only latency and outage apply to it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ops.exchange import verdicts
from ops.exchange.verdicts import THROTTLED, Verdict, accept, reject

LATENCY = "latency"
OUTAGE = "outage"
HANG = "hang"
RESET_BEFORE = "reset_before"
STALE = "stale"
STALE_MS = 60_000.0
APPLIED = frozenset({"empty", "cut", "reset_after", "unsolicited", "big_head", "bom", "utf_16", "gzip", "x_gzip"})
"""Faults of the reply to a request that was applied."""
IGNORES_LIMITS = frozenset({LATENCY, OUTAGE})
"""Faults that also apply to requests over a limit."""

KINDS = (
    frozenset({LATENCY, OUTAGE, HANG, RESET_BEFORE, STALE, "http_429", "http_500", "http_502", "fail", "html"})
    | APPLIED
)
CODE = re.compile(r"code:([0-9]+)")
PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

STATUS_BY_CODE = {verdicts.SERVICE_ERROR: 500}
"""HTTP status of codes whose status is not 400, as seen on the live system."""
DEFAULT_STATUS = {"html": 200, OUTAGE: 503, "http_500": 500, "http_502": 502}
PAGES = {
    "http_500": "",
    "http_502": PAGE.format("502 Bad Gateway"),
    "html": PAGE.format("Just a moment..."),
    OUTAGE: PAGE.format("503 Service Temporarily Unavailable"),
}


class FaultError(ValueError):
    """An invalid fault; the message names the attribute and its valid values."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        kind: one of the names in the module's docstring.
        probability: chance of affecting a request, 0 to 1.
        user: the only user that is affected; None for all requests, including those without a known key.
        first: maximum number of affected requests, the first ones; None for no limit.
        ms: `latency` and `unsolicited`: the delay; `hang`: the time without a reply; `stale`: the age; milliseconds.
        jitter_ms: `latency`: maximum of a uniform addition, milliseconds.
        status: HTTP status of `html`, `outage` and `code:...`; None for the default.
        retry_after: `http_429` and `code:...`: value of the header Retry-After; None for none.

    Raises:
        FaultError: a value is out of range.
    """

    kind: str
    probability: float = 1.0
    user: str | None = None
    first: int | None = None
    ms: float = 0.0
    jitter_ms: float = 0.0
    status: int | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not CODE.fullmatch(self.kind):
            raise FaultError(f"there is no fault {self.kind!r}: use code:<CODE> or one of {', '.join(sorted(KINDS))}")
        if not 0 <= self.probability <= 1:
            raise FaultError(f"probability of fault {self.kind} must be from 0 to 1; got {self.probability}")
        if min(self.ms, self.jitter_ms, self.first or 0) < 0:
            raise FaultError(f"ms, jitter_ms and first of fault {self.kind} must not be negative")
        if self.status is not None and not (200 <= self.status <= 599 or (self.status == 0 and self.kind == OUTAGE)):
            raise FaultError(f"status of fault {self.kind} must be from 200 to 599; got {self.status}")


class Page(NamedTuple):
    """A gateway's HTML reply, instead of the exchange's JSON.

    Attributes:
        status: HTTP status; 0 aborts the connection.
        html: the body.
    """

    status: int
    html: str


class Selection(NamedTuple):
    """The faults selected for one request.

    Attributes:
        fault: replaces or hides the reply; None for none.
        delay_ms: delay of the reply, milliseconds.
        kind: the fault's kind for the ledger; "latency" if there is only a delay, "" for none.
    """

    fault: Fault | None = None
    delay_ms: float = 0.0
    kind: str = ""


NO_FAULT = Selection()


class Faults:
    """The active faults, in their order. The first one that applies is selected, and every latency that applies.

    Args:
        faults: the initial faults.
        rng: the random source; the same seed and the same requests select the same faults.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, rng: random.Random) -> None:
        self._rng = rng
        self.replace(faults)

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        self._faults.append(fault)
        self._counts.append(0)

    def clear(self) -> None:
        """Remove all faults."""
        self.replace(())

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all faults."""
        self._faults: list[Fault] = []
        self._counts: list[int] = []
        for fault in faults:
            self.add(fault)

    def remaining(self) -> list[tuple[Fault, int | None]]:
        """Return each fault with the number of requests that it may still affect (None: no limit)."""
        return [
            (fault, None if fault.first is None else fault.first - count)
            for fault, count in zip(self._faults, self._counts, strict=True)
        ]

    def select(self, user: str, *, within_limits: bool = True) -> Selection:
        """Select the faults of the next request.

        Args:
            user: the owner of its API key; "" without a known key.
            within_limits: False for a request over a limit: only latency and outage apply.
        """
        if not self._faults:
            return NO_FAULT
        selected: Fault | None = None
        delay_ms = 0.0
        kind = ""
        for index, fault in enumerate(self._faults):
            if selected is not None and fault.kind != LATENCY:
                continue
            if not (within_limits or fault.kind in IGNORES_LIMITS) or not self._applies(index, fault, user):
                continue
            self._counts[index] += 1
            if fault.kind == LATENCY:
                delay_ms += fault.ms + self._rng.uniform(0, fault.jitter_ms)
                kind = kind or LATENCY
            else:
                selected, kind = fault, fault.kind
        return Selection(selected, delay_ms, kind)

    def _applies(self, index: int, fault: Fault, user: str) -> bool:
        return (
            (fault.user is None or fault.user == user)
            and (fault.first is None or self._counts[index] < fault.first)
            and self._rng.random() < fault.probability
        )


def reply_for(fault: Fault) -> Verdict | Page:
    """Return the reply that a fault gives instead of the exchange; not for `latency` and those of `APPLIED`."""
    status = DEFAULT_STATUS.get(fault.kind, 400) if fault.status is None else fault.status
    if match := CODE.fullmatch(fault.kind):
        code = match[1]
        return reject(code, status=STATUS_BY_CODE.get(code, status) if fault.status is None else status)
    match fault.kind:
        case "http_429":
            return THROTTLED
        case "fail" | "stale":
            return accept("fail" if fault.kind == "fail" else "success")
        case "http_500" | "http_502" | "html" | "outage":
            return Page(status, PAGES[fault.kind])
        case _:  # hang, reset_before
            return Page(0, "")
