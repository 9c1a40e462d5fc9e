"""Each outcome has its reason in what was asked for and in what the exchange saw. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.chaos.evidence import Change, Evidence
from producers import JobResult, Outcome

FAILED_TRIES = 5
"""So often "fail" is a refusal."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One change, and how it ended.

    Attributes:
        seen: all there is.
        change: the change.
        result: how it ended.
        sent: how many requests carried it.
        granted: whether the exchange granted one of them, or one of what replaced it.
    """

    seen: Evidence
    change: Change
    result: JobResult
    sent: int
    granted: bool

    @property
    def has_long(self) -> bool:
        return self.change.ttl_s is None

    @property
    def had_wrong_keys(self) -> bool:
        return self.change.user in self.seen.wrong_users and not self.change.is_last

    @property
    def failed_often(self) -> bool:
        return sum(attempt.verdict == "failed" for attempt in self.result.attempts) >= FAILED_TRIES

    @property
    def has_a_joining_successor(self) -> bool:
        successor = self.seen.changes.get(self.result.successor or "")
        return successor is not None and successor.coalesces


Is = Callable[[_Case], bool]

APPLIED, REJECTED, UNAUTHORIZED = Outcome.APPLIED, Outcome.REJECTED, Outcome.UNAUTHORIZED
EXHAUSTED, EXPIRED, SUPERSEDED, CANCELLED = (
    Outcome.EXHAUSTED,
    Outcome.EXPIRED,
    Outcome.SUPERSEDED,
    Outcome.CANCELLED,
)

WRONG: tuple[tuple[frozenset[Outcome], Is, str], ...] = (
    (frozenset({APPLIED}), lambda case: not case.granted, "the exchange granted none of its requests"),
    (frozenset({APPLIED}), lambda case: case.change.is_bold, "the exchange must refuse it"),
    (frozenset({REJECTED}), lambda case: not (case.change.is_bold or case.failed_often), "nothing is wrong with it"),
    (frozenset({UNAUTHORIZED}), lambda case: not case.had_wrong_keys, "its user's keys were right"),
    (frozenset({EXPIRED, EXHAUSTED}), lambda case: case.has_long, "its deadline is far"),
    (frozenset({EXPIRED, SUPERSEDED}), lambda case: case.sent > 0, "it was sent"),
    (frozenset({SUPERSEDED}), lambda case: not case.has_a_joining_successor, "its successor does not join others"),
    (frozenset(Outcome) - {APPLIED}, lambda case: case.change.is_last, "all trouble was over"),
)
"""Outcomes, what is wrong with them, and why that is wrong."""


def as_it_must(seen: Evidence) -> Iterator[str]:
    """Each change ended as it may."""
    sent: Counter[str] = Counter()
    granted: set[str] = set()
    for arrival, changes in seen.carried():
        sent.update(change.job_id for change in changes)
        if arrival.accepted:
            granted.update(change.job_id for change in changes)
    for change in seen.changes.values():
        result = seen.results.get(change.job_id)
        if result is None:
            continue
        name = f"{change.job_id} of {change.user}, {change.trader}"
        if (result.user_id, result.trader_id) != change.lane:
            yield f"{name}: its result is of {result.user_id!r}, {result.trader_id!r}"
        case = _Case(seen, change, result, sent[change.job_id], _granted(change.job_id, seen, granted))
        for outcomes, is_wrong, why in WRONG:
            if result.outcome in outcomes and is_wrong(case):
                yield f"{name} ended {result.outcome} ({result.message}) after {case.sent} requests, though {why}"


def _granted(job_id: str | None, seen: Evidence, granted: set[str]) -> bool:
    """Whether the exchange granted a change, or one that replaced it, or one that replaced that."""
    followed = set()
    while job_id is not None and job_id not in followed:
        if job_id in granted:
            return True
        followed.add(job_id)
        result = seen.results.get(job_id)
        job_id = None if result is None else result.successor
    return False
