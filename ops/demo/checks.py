"""The demo's verdicts: the ledger's checks, and whether the scenario went as planned. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ops.demo.evidence import Evidence
from ops.ledger.causes import outcomes_have_causes
from ops.ledger.final_settings import last_applied_is_held
from ops.ledger.limits import busiest_user, within_user_limit
from ops.ledger.order import in_order
from ops.ledger.outcomes import counters_agree, nothing_lost
from ops.ledger.verdict import StallExcuses, Verdict


def check_all(seen: Evidence) -> list[Verdict]:
    """Return the verdicts on all guarantees."""
    excuses = StallExcuses(seen)  # never used: the demo stalls no worker
    return [
        Verdict("paced", [*within_user_limit(seen), *_over_a_limit(seen)], _paced(seen)),
        Verdict("ordered", list(in_order(seen, excuses)), _ordered(seen)),
        Verdict("one result each", [*nothing_lost(seen), *counters_agree(seen)], _one_result(seen)),
        Verdict("as expected", [*_as_planned(seen), *outcomes_have_causes(seen)], _as_expected(seen)),
        Verdict("kept", list(last_applied_is_held(seen, excuses)), _kept(seen)),
        Verdict("tested", list(_faults_without_effect(seen)), _tested(seen)),
    ]


def _over_a_limit(seen: Evidence) -> Iterator[str]:
    throttled = sum(arrival.throttled for arrival in seen.arrivals)
    if throttled:
        yield f"the exchange refused {throttled} requests as over a limit"


def _as_planned(seen: Evidence) -> Iterator[str]:
    for job_id, planned in seen.planned.items():
        result = seen.results.get(job_id)
        if result is not None and result.outcome != planned.expected:
            yield f"{planned.change.user_id} ended {result.outcome}, not {planned.expected}"
    for refused in seen.refused:
        if refused.planned.expected is not None:
            yield f"{refused.planned.change.user_id} was refused: {refused.reason}"


def _faults_without_effect(seen: Evidence) -> Iterator[str]:
    """Yield each fault that was certain to strike and did not: the demo then tested less than it claims."""
    certain = [fault for fault in seen.faults if fault.probability == 1]
    due = Counter({(fault.user or "", fault.kind): fault.first or 0 for fault in certain})
    struck = Counter((arrival.user, arrival.fault) for arrival in seen.arrivals if arrival.fault)
    yield from (f"{user} did not meet {kind}" for user, kind in due - struck)


def _paced(seen: Evidence) -> str:
    limit = seen.user_limit_per_s
    return f"at most {busiest_user(seen)[0]} requests of one user in any second, {limit} allowed; none over a limit"


def _ordered(seen: Evidence) -> str:
    lanes = {lane: len(changes) for lane, changes in seen.lanes().items() if len(changes) > 1}
    requests = sum((arrival.user, arrival.trader) in lanes for arrival, _ in seen.requests())
    return f"{sum(lanes.values())} changes of one lane arrived in order, in {requests} requests"


def _one_result(seen: Evidence) -> str:
    return f"{len(seen.changes)} changes accepted, {len(seen.results)} outcomes written"


def _as_expected(seen: Evidence) -> str:
    flawed = sum(bool(planned.flaw) for planned in seen.planned.values()) + len(seen.refused)
    return f"all changes were applied but the {flawed} flawed ones, which ended as they must"


def _kept(seen: Evidence) -> str:
    return f"for {len(seen.lanes())} users the exchange holds what was applied last, and nothing else"


def _tested(seen: Evidence) -> str:
    struck = sum(bool(arrival.fault) for arrival in seen.arrivals)
    retried = sum(len(result.attempts) > 1 for result in seen.results.values())
    return f"{struck} requests were struck by faults, {retried} changes retried"
