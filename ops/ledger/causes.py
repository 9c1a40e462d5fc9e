"""Checks that the evidence explains every outcome. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.ledger.evidence import Change, Evidence
from producers import JobResult, Outcome

MAX_FAILED_TRIES = 5
"""After this many replies of success with data "fail", a change is rejected."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One change and its end.

    Attributes:
        seen: all evidence.
        change: the change.
        result: how it ended.
        sent: the number of requests that carried it.
        granted: whether the exchange accepted one of them, or one of a change that superseded it.
    """

    seen: Evidence
    change: Change
    result: JobResult
    sent: int
    granted: bool

    @property
    def had_wrong_keys(self) -> bool:
        return self.change.lane[0] in self.seen.misconfigured_users and not self.change.is_final

    @property
    def failed_often(self) -> bool:
        return sum(attempt.verdict == "failed" for attempt in self.result.attempts) >= MAX_FAILED_TRIES

    @property
    def has_coalescing_successor(self) -> bool:
        successor = self.seen.changes.get(self.result.successor or "")
        return successor is not None and successor.coalesces


APPLIED, REJECTED, UNAUTHORIZED = Outcome.APPLIED, Outcome.REJECTED, Outcome.UNAUTHORIZED
EXHAUSTED, EXPIRED, SUPERSEDED = Outcome.EXHAUSTED, Outcome.EXPIRED, Outcome.SUPERSEDED

CONTRADICTIONS: tuple[tuple[frozenset[Outcome], Callable[[_Case], bool], str], ...] = (
    (frozenset({APPLIED}), lambda case: not case.granted, "the exchange accepted none of its requests"),
    (frozenset({APPLIED}), lambda case: case.change.must_be_rejected, "the exchange must reject it"),
    (
        frozenset({REJECTED}),
        lambda case: not (case.change.must_be_rejected or case.failed_often),
        "nothing is wrong with it",
    ),
    (frozenset({UNAUTHORIZED}), lambda case: not case.had_wrong_keys, "its user's keys were right"),
    (frozenset({EXPIRED, EXHAUSTED}), lambda case: case.change.ttl_s is None, "its deadline is far"),
    (frozenset({EXPIRED, SUPERSEDED}), lambda case: case.sent > 0, "it was sent"),
    (frozenset({SUPERSEDED}), lambda case: not case.has_coalescing_successor, "its successor does not coalesce"),
    (frozenset(Outcome) - {APPLIED}, lambda case: case.change.is_final, "all faults were over"),
)
"""Outcomes, a condition that contradicts them, and that condition in words."""


def outcomes_have_causes(seen: Evidence) -> Iterator[str]:
    """Yield each change that ended in a way that nothing explains."""
    sent = Counter(change.job_id for _, changes in seen.requests() for change in changes)
    granted = seen.granted()
    for change in seen.changes.values():
        result = seen.results.get(change.job_id)
        if result is None:
            continue
        if (result.user_id, result.trader_id) != change.lane:
            yield f"{change}: its result names {result.user_id!r}, {result.trader_id!r}"
        case = _Case(seen, change, result, sent[change.job_id], _is_granted(change.job_id, seen, granted))
        for outcomes, contradicts, words in CONTRADICTIONS:
            if result.outcome in outcomes and contradicts(case):
                yield f"{change} ended {result.outcome} ({result.message}) after {case.sent} requests, although {words}"


def _is_granted(job_id: str | None, seen: Evidence, granted: set[str]) -> bool:
    """Return whether the exchange accepted a change, or a change that superseded it, directly or not."""
    followed = set()
    while job_id is not None and job_id not in followed:
        if job_id in granted:
            return True
        followed.add(job_id)
        result = seen.results.get(job_id)
        job_id = None if result is None else result.successor
    return False
