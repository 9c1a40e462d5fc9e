"""Scripted faults: what goes wrong, how often, for whom. No I/O; the random numbers are handed in.

    latency         the reply is late by `ms` plus up to `jitter_ms`; goes together with any other fault
    http_429        answered 429, as if a limit had been breached
    http_500        answered 500 with an empty body
    http_502        answered 502 with an HTML page
    code:<CODE>     answered with this code of the exchange, such as code:45001
    fail            answered code 00000 with data "fail"
    html            answered an HTML page with `status` (200, or 403 as from a firewall)
    reset_before    the connection is aborted, nothing was applied
    hang            nothing for `ms`, then the connection is aborted, nothing was applied
    outage          answered 503 with an HTML page, or aborted with `status` 0; the limits are not even looked at
    empty           applied, then answered 200 without a body
    cut             applied, then half of the reply and the end of the connection
    reset_after     applied, then the connection is aborted: the client cannot know

The first ones answer instead of the exchange, the last three hide its answer. All struck requests are recorded and
count toward the limits. Requests that breach a limit are answered 429; only latency and outage strike them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ops.exchange import verdicts
from ops.exchange.verdicts import THROTTLED, Verdict, granted, refused

LATENCY = "latency"
OUTAGE = "outage"
HANG = "hang"
RESET_BEFORE = "reset_before"
HIDING = frozenset({"empty", "cut", "reset_after"})
"""Faults that let the request be applied and then hide the answer."""
UNLIMITED = frozenset({LATENCY, OUTAGE})
"""Faults that strike also what breaches a limit."""

KINDS = frozenset({LATENCY, OUTAGE, HANG, RESET_BEFORE, "http_429", "http_500", "http_502", "fail", "html"}) | HIDING
CODE = re.compile(r"code:([0-9]+)")
PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

STATUS_OF_CODE = {verdicts.SERVICE_ERROR: 500}
"""HTTP statuses of codes that do not come with 400, as seen on a live system."""
DEFAULT_STATUS = {"html": 200, OUTAGE: 503}


class FaultError(ValueError):
    """A fault that cannot be: the message says which part, and what it may be."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        kind: one of the names above.
        probability: how likely it strikes a request, 0 to 1.
        user: strikes only this user's requests; None for all, also those without a known key.
        first: strikes this many requests and then no more; None for no end.
        ms: `latency`: the delay; `hang`: how long nothing comes; milliseconds.
        jitter_ms: `latency`: uniformly up to this much is added, milliseconds.
        status: HTTP status of `html`, `outage` and `code:...`; None for what is usual.

    Raises:
        FaultError: a value is out of its range.
    """

    kind: str
    probability: float = 1.0
    user: str | None = None
    first: int | None = None
    ms: float = 0.0
    jitter_ms: float = 0.0
    status: int | None = None

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
    """An answer that is not the exchange's JSON: what a gateway says.

    Attributes:
        status: HTTP status; 0 aborts the connection.
        html: the body.
    """

    status: int
    html: str


class Strike(NamedTuple):
    """What strikes one request.

    Attributes:
        fault: the fault that answers or hides the answer; None for none.
        delay_ms: how late the reply is, milliseconds.
        kind: what the ledger notes: the fault's kind, or "latency" if there is only that, or "".
    """

    fault: Fault | None = None
    delay_ms: float = 0.0
    kind: str = ""


SPARED = Strike()


class Faults:
    """The faults in force. They are tried in order; of those that answer, the first that strikes is the one.

    Args:
        faults: to begin with.
        rng: where chance comes from; the same seed and the same requests get the same faults.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, rng: random.Random) -> None:
        self._rng = rng
        self.replace(faults)

    def add(self, fault: Fault) -> None:
        """Put one more fault in force, after those there are."""
        self._faults.append(fault)
        self._struck.append(0)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.replace(())

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put these faults in force instead of those there are."""
        self._faults: list[Fault] = []
        self._struck: list[int] = []
        for fault in faults:
            self.add(fault)

    def remaining(self) -> list[tuple[Fault, int | None]]:
        """The faults in force, with how many requests each may still strike (None: no end)."""
        return [
            (fault, None if fault.first is None else fault.first - struck)
            for fault, struck in zip(self._faults, self._struck, strict=True)
        ]

    def draw(self, user: str, *, within_limits: bool = True) -> Strike:
        """Decide what strikes the next request.

        Args:
            user: the user of its key, "" if there is none.
            within_limits: whether it will be judged; if not, only latency and outage can strike.
        """
        if not self._faults:
            return SPARED
        answering: Fault | None = None
        delay_ms = 0.0
        kind = ""
        for index, fault in enumerate(self._faults):
            if answering is not None and fault.kind != LATENCY:
                continue
            if not (within_limits or fault.kind in UNLIMITED) or not self._strikes(index, fault, user):
                continue
            self._struck[index] += 1
            if fault.kind == LATENCY:
                delay_ms += fault.ms + self._rng.uniform(0, fault.jitter_ms)
                kind = kind or LATENCY
            else:
                answering, kind = fault, fault.kind
        return Strike(answering, delay_ms, kind)

    def _strikes(self, index: int, fault: Fault, user: str) -> bool:
        return (
            (fault.user is None or fault.user == user)
            and (fault.first is None or self._struck[index] < fault.first)
            and self._rng.random() < fault.probability
        )


def answer(fault: Fault) -> Verdict | Page:
    """What a fault answers instead of the exchange.

    Args:
        fault: any that is neither `latency` nor one that hides the answer.
    """
    status = DEFAULT_STATUS.get(fault.kind, 400) if fault.status is None else fault.status
    if match := CODE.fullmatch(fault.kind):
        code = match[1]
        return refused(code, status=STATUS_OF_CODE.get(code, status) if fault.status is None else status)
    match fault.kind:
        case "http_429":
            return THROTTLED
        case "http_500":
            return Page(500, "")
        case "http_502":
            return Page(502, PAGE.format("502 Bad Gateway"))
        case "fail":
            return granted("fail")
        case "html":
            return Page(status, PAGE.format("Just a moment..."))
        case "outage":
            return Page(status, PAGE.format("503 Service Temporarily Unavailable"))
        case _:  # hang, reset_before
            return Page(0, "")
