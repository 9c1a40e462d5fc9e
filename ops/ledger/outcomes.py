"""A result for every accepted change, and counters that agree with the results. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ops.ledger.evidence import Evidence


def nothing_lost(seen: Evidence) -> Iterator[str]:
    """Yield each change that was accepted, or sent, and has no result."""
    sent = {change.job_id for _, changes in seen.requests() for change in changes}
    for change in seen.changes.values():
        if change.job_id in seen.results:
            continue
        if change.accepted_ns is not None:
            yield f"{change} was accepted at {seen.clock(change.accepted_ns)} and has no result"
        elif change.job_id in sent:
            yield f"{change} was sent without being reported as accepted, and has no result"


def counters_agree(seen: Evidence) -> Iterator[str]:
    """Yield a difference between the results and Redis's counters."""
    outcomes = Counter(str(result.outcome) for result in seen.results.values())
    counters = {outcome: count for outcome, count in seen.counters.items() if count}
    if outcomes != counters:
        yield f"the results are {dict(outcomes)}, the counters are {counters}"
