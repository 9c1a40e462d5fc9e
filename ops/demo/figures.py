"""The numbers that the demo reports. No I/O."""

from __future__ import annotations

from collections import Counter
from statistics import median

import msgspec

from ops.demo.evidence import Evidence
from ops.demo.scenario import LANE_USER, USER_LIMIT_PER_S, Planned
from ops.ledger.limits import busiest_user
from producers import Attempt, JobResult


class NotApplied(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was not applied; its outcome is "refused" if the producer did not accept it."""

    user: str
    flaw: str
    outcome: str
    code: str | None
    message: str


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The requests with one verdict that were sent again, and the number of each kind of reply."""

    verdict: str
    requests: int
    replies: dict[str, int]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers of one run.

    Attributes:
        outcomes: the number of changes by outcome.
        peak_in_1s: the highest number of requests of one user that the exchange saw in any second.
        peak_user: that user.
        lane_rate_per_s: requests a second of the long lane's user, from the end of the fan-out on. Before that, the
            fan-out was due earlier and used most of the address's limit.
        lane_percent: that rate, in percent of the user's limit.
        fan_out_requests: users of the fan-out that the exchange saw.
        fan_out_s: seconds from the first of these requests to the last, without retries.
        passer_by_median_ms: milliseconds from `enqueue` to the result, the median.
        passer_by_longest_ms: the same, the maximum.
        struck: requests struck by a fault, by kind.
    """

    outcomes: dict[str, int]
    not_applied: list[NotApplied]
    peak_in_1s: int
    peak_user: str
    lane_changes: int
    lane_requests: int
    lane_rate_per_s: float
    lane_percent: float
    fan_out_requests: int
    fan_out_s: float
    passers_by: int
    passer_by_median_ms: float
    passer_by_longest_ms: float
    struck: dict[str, int]
    retried: list[Retried]


def figures(evidence: Evidence, fan_out_users: set[str]) -> Figures:
    """Return the numbers of one run.

    Args:
        evidence: what was seen.
        fan_out_users: the users of the fan-out.
    """
    results = list(evidence.results.values())
    peak_in_1s, peak_user = busiest_user(evidence)
    # Reversed, so that a user's first request replaces its retries.
    firsts = {arrival.user: arrival.at_ns for arrival in reversed(evidence.arrivals) if arrival.user in fan_out_users}
    firsts_ns = sorted(firsts.values())
    lane_ns = [arrival.at_ns for arrival in evidence.arrivals if arrival.user == LANE_USER]
    fan_out_end_ns = firsts_ns[-1] if firsts_ns else 0
    lane_rate_per_s = _rate_per_s([at_ns for at_ns in lane_ns if at_ns >= fan_out_end_ns])
    return Figures(
        outcomes=dict(Counter(str(result.outcome) for result in results).most_common()),
        not_applied=_not_applied(evidence),
        peak_in_1s=peak_in_1s,
        peak_user=peak_user,
        lane_changes=sum(result.user_id == LANE_USER for result in results),
        lane_requests=len(lane_ns),
        lane_rate_per_s=round(lane_rate_per_s, 2),
        lane_percent=round(100 * lane_rate_per_s / USER_LIMIT_PER_S, 1),
        fan_out_requests=len(firsts_ns),
        fan_out_s=round(_span_s(firsts_ns), 2),
        passers_by=len(evidence.waited_ms),
        passer_by_median_ms=round(median(evidence.waited_ms or [0.0]), 1),
        passer_by_longest_ms=round(max(evidence.waited_ms, default=0.0), 1),
        struck=dict(Counter(arrival.fault for arrival in evidence.arrivals if arrival.fault).most_common()),
        retried=_retried(results),
    )


def _span_s(times_ns: list[int]) -> float:
    return (times_ns[-1] - times_ns[0]) / 1e9 if times_ns else 0.0


def _rate_per_s(times_ns: list[int]) -> float:
    span_s = _span_s(times_ns)
    return (len(times_ns) - 1) / span_s if span_s else 0.0


def _not_applied(evidence: Evidence) -> list[NotApplied]:
    rows: list[tuple[Planned, str, str | None, str]] = [
        (each.planned, "refused", None, each.reason) for each in evidence.refused
    ]
    rows += [
        (planned, str(result.outcome), result.code, result.message)
        for job_id, planned in evidence.planned.items()
        if (result := evidence.results.get(job_id)) and not result.applied
    ]
    not_applied = [
        NotApplied(user=planned.change.user_id, flaw=planned.flaw, outcome=outcome, code=code, message=message)
        for planned, outcome, code, message in rows
    ]
    return sorted(not_applied, key=lambda each: (each.outcome, each.user))


def _retried(results: list[JobResult]) -> list[Retried]:
    """Return the attempts that were not the last of their change, by verdict."""
    attempts = [attempt for result in results for attempt in result.attempts[:-1]]
    verdicts = Counter(attempt.verdict for attempt in attempts)
    return [
        Retried(
            verdict=verdict,
            requests=requests,
            replies=dict(Counter(_reply(attempt) for attempt in attempts if attempt.verdict == verdict).most_common()),
        )
        for verdict, requests in verdicts.most_common()
    ]


def _reply(attempt: Attempt) -> str:
    if attempt.status is None:
        return (attempt.message or "no reply").rpartition(": ")[2]
    return f"HTTP {attempt.status}" if attempt.code is None else f"HTTP {attempt.status} with code {attempt.code}"
