"""Which invariants held, judged by what was seen. No I/O. Each check says what it looked at, or what broke it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, zip_longest

import msgspec

from ops.demo.evidence import Accepted, Evidence
from ops.demo.scenario import USER_LIMIT_PER_S
from producers import Outcome

SHOWN = 3
"""So many culprits are named; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """A verdict on one invariant.

    Attributes:
        name: of the invariant.
        holds: whether it held.
        detail: what was looked at, or what broke it.
    """

    name: str
    holds: bool
    detail: str


def check_all(evidence: Evidence) -> list[Check]:
    """The verdicts on all invariants."""
    return [check(evidence) for check in CHECKS]


def paced(evidence: Evidence) -> Check:
    """No user had more requests in any second than allowed, and the exchange found nobody over a limit."""
    peaks = {user: seen.peak_in_1s for user, seen in evidence.report.users.items() if user}
    broken = [f"{user} had {peak} requests within 1 s" for user, peak in peaks.items() if peak > USER_LIMIT_PER_S]
    if evidence.report.throttled:
        broken.append(f"the exchange refused {evidence.report.throttled} requests as over a limit")
    peak = max(peaks.values(), default=0)
    held = f"at most {peak} requests of one user in any second, {USER_LIMIT_PER_S} allowed; none over a limit"
    return _check("paced", broken, held)


def ordered(evidence: Evidence) -> Check:
    """The changes of a lane arrived in the order of their acceptance; a retry came before anything later."""
    lanes = {lane: changes for lane, changes in evidence.lanes().items() if len(changes) > 1}
    broken = []
    requests = 0
    for lane, changes in lanes.items():
        seen = evidence.values_seen(lane)
        requests += len(seen)
        due = [_trace_value(change) for change in changes if _was_sent(change, evidence)]
        arrived = [value for value, _ in groupby(seen)]
        broken += [
            f"{lane[0]}: {value or 'nothing'} arrived where {expected or 'nothing'} was due"
            for value, expected in zip_longest(arrived, due)
            if value != expected
        ][:1]
    changes_in_lanes = sum(map(len, lanes.values()))
    return _check("ordered", broken, f"{changes_in_lanes} changes of one lane arrived in order, in {requests} requests")


def one_result(evidence: Evidence) -> Check:
    """Every accepted change has one outcome: none is missing, and none was counted twice."""
    missing = [change.planned.change.user_id for change in evidence.accepted if change.job_id not in evidence.results]
    told = Counter(str(result.outcome) for result in evidence.results.values())
    counted = {outcome: count for outcome, count in evidence.counted.items() if count}
    broken = []
    if missing:
        broken.append(f"{len(missing)} changes have no result, the first one of {missing[0]}")
    elif told != counted:
        broken.append(f"results tell of {dict(told)}, the counters of {counted}")
    held = f"{len(evidence.accepted)} changes accepted, {sum(told.values())} outcomes written"
    return _check("one result each", broken, held)


def as_expected(evidence: Evidence) -> Check:
    """Every change ended as the scenario has it."""
    broken = [
        f"{change.planned.change.user_id} ended {result.outcome}, not {change.planned.expected}"
        for change in evidence.accepted
        if (result := evidence.results.get(change.job_id)) and result.outcome != change.planned.expected
    ]
    broken += [
        f"{refused.planned.change.user_id} was refused: {refused.why}"
        for refused in evidence.refused
        if refused.planned.expected is not None
    ]
    flawed = [change.planned for change in evidence.accepted if change.planned.flaw]
    flawed += [refused.planned for refused in evidence.refused]
    return _check(
        "as expected", broken, f"all changes were applied but the {len(flawed)} flawed ones, which ended as they must"
    )


def kept(evidence: Evidence) -> Check:
    """The exchange holds what the last applied change of each lane set, and nothing of others."""
    broken = []
    for (user, trader), changes in evidence.lanes().items():
        applied = [change for change in changes if _outcome(change, evidence) == Outcome.APPLIED]
        due = msgspec.to_builtins(applied[-1].planned.change.settings) if applied else []
        held = evidence.kept.get(user, {}).get(trader, [])
        if held != due:
            broken.append(f"{user}: the exchange holds {held or 'nothing'}, not {due or 'nothing'}")
    lanes = len(evidence.lanes())
    return _check("kept", broken, f"for {lanes} users the exchange holds what was applied last, and nothing else")


def struck(evidence: Evidence) -> Check:
    """Every fault that was certain to strike did: what the demo says it survived, it met."""
    certain = [fault for fault in evidence.faults if fault.probability == 1]
    due = Counter({(fault.user or "", fault.kind): fault.first or 0 for fault in certain})
    met = Counter((arrival.user, arrival.fault) for arrival in evidence.arrivals if arrival.fault)
    broken = [f"{user} did not meet {kind}" for user, kind in due - met]
    retried = sum(len(result.attempts) > 1 for result in evidence.results.values())
    return _check("tested", broken, f"{met.total()} requests were struck by faults, {retried} changes retried")


CHECKS: tuple[Callable[[Evidence], Check], ...] = (paced, ordered, one_result, as_expected, kept, struck)


def _check(name: str, broken: list[str], held: str) -> Check:
    if not broken:
        return Check(name, holds=True, detail=held)
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return Check(name, holds=False, detail="; ".join(broken[:SHOWN]) + more)


def _trace_value(change: Accepted) -> str:
    return change.planned.change.settings[0].trace_value or ""


def _was_sent(change: Accepted, evidence: Evidence) -> bool:
    result = evidence.results.get(change.job_id)
    return result is not None and result.started_at_ms is not None


def _outcome(change: Accepted, evidence: Evidence) -> Outcome | None:
    result = evidence.results.get(change.job_id)
    return None if result is None else result.outcome
