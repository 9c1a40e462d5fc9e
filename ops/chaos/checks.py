"""Which promises held, judged by the ledgers. No I/O. Each check explains every violation it finds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ops.chaos.arrivals import (
    in_order,
    not_after_their_end,
    one_at_a_time,
    within_the_address_limit,
    within_the_users_limit,
)
from ops.chaos.evidence import Change, Evidence
from ops.chaos.reasons import as_it_must
from ops.chaos.verdict import Late, Verdict
from producers import JobResult, Outcome

Check = Callable[[Evidence], Iterator[str]]


class Judgement(NamedTuple):
    """What is said of a run.

    Attributes:
        verdicts: on all promises.
        excused: requests that a stalled worker sent after its lease, one for a stall at most.
    """

    verdicts: list[Verdict]
    excused: int


def judge(seen: Evidence) -> Judgement:
    """The verdicts on all promises."""
    late = Late(seen)
    verdicts = [Verdict(name, list(check(seen))) for name, check in CHECKS.items()]
    verdicts += [
        Verdict("lanes kept their order", list(in_order(seen, late))),
        Verdict("nothing is sent after its end", list(not_after_their_end(seen, late))),
        Verdict("one request of a lane at a time", list(one_at_a_time(seen, late))),
        Verdict("the exchange keeps what was applied last", list(_kept(seen, late))),
    ]
    return Judgement(verdicts, len(late.excused))


def _nothing_lost(seen: Evidence) -> Iterator[str]:
    if seen.drained_s is None:
        yield "the queue did not drain in time"
    arrived = {change.job_id for _, changes in seen.carried() for change in changes}
    for change in seen.changes.values():
        if change.job_id in seen.results:
            continue
        if change.told_ns is not None:
            yield f"{_named(change)} was told accepted at {seen.at(change.told_ns)} and has no result"
        elif change.job_id in arrived:
            yield f"{_named(change)} was never told accepted, yet it was sent, and has no result"


def _one_outcome(seen: Evidence) -> Iterator[str]:
    for job_id, times in seen.written.items():
        if times > 1 and job_id in seen.results:
            yield f"the result of {job_id} was written {times} times"
    for job_id in seen.results:
        if job_id not in seen.changes and job_id not in seen.perhaps_poison:
            yield f"there is a result of {job_id}, which nobody asked for"
        if not seen.written.get(job_id):
            yield f"the result of {job_id} is not in Redis's history"


def _nothing_left(seen: Evidence) -> Iterator[str]:
    yield from (f"{what} is still there" for what in seen.left)


def _counted(seen: Evidence) -> Iterator[str]:
    told = Counter(str(result.outcome) for result in seen.results.values())
    counted = {outcome: count for outcome, count in seen.counted.items() if count}
    if told != counted:
        yield f"results tell of {dict(told)}, the counters of {counted}"


def _batches(seen: Evidence) -> Iterator[str]:
    expected: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for job_id, result in seen.results.items():
        batch_id, mark, _ = job_id.partition("//")
        if mark:
            expected[batch_id][job_id] = str(result.outcome)
    for batch in seen.batches:
        due = expected.pop(batch.batch_id, {})
        streamed = dict(batch.stream)
        name = f"batch {batch.batch_id}"
        if len(streamed) != len(batch.stream):
            yield f"{name}: {len(batch.stream) - len(streamed)} results are twice in its stream"
        if streamed != due:
            differing = sorted(streamed.items() ^ due.items())[:3]
            yield f"{name}: its stream and its results differ: {differing}"
        if dict(batch.outcomes) != Counter(due.values()) or batch.total != len(due):
            yield f"{name}: it counts {batch.total}, {dict(batch.outcomes)}; results are {dict(Counter(due.values()))}"
        if batch.in_flight:
            yield f"{name}: {batch.in_flight} are in flight, after all has ended"
        if batch.sealed and not (batch.complete and batch.ends == 1):
            yield f"{name}: it is sealed and all ended, but its end is told {batch.ends} times"
    for batch_id, due in expected.items():
        yield f"batch {batch_id} is unknown, though {len(due)} results are of it"


def _read_once(seen: Evidence) -> Iterator[str]:
    for producer, entries in seen.read.items():
        read = Counter(entry.job_id for entry in entries)
        for job_id, times in read.items():
            if times > 1:
                yield f"producer {producer} read the result of {job_id} {times} times"
        for entry in entries:
            result = seen.results.get(entry.job_id)
            if result is None or str(result.outcome) != entry.outcome:
                yield f"producer {producer} read {entry.outcome} of {entry.job_id}; its result is {_outcome(result)}"
        for batch_id in seen.read_all.get(producer, ()):
            all_of_it = {job_id for job_id in seen.results if job_id.startswith(f"{batch_id}//")}
            missing = all_of_it - {entry.job_id for entry in entries if entry.batch_id == batch_id}
            if missing:
                yield f"producer {producer} read batch {batch_id} to its end without {sorted(missing)[:3]}"


def _taken_back(seen: Evidence) -> Iterator[str]:
    for entry in seen.taken_back:
        result = seen.results.get(entry.job_id)
        if entry.verdict == "cancelled" and (result is None or result.outcome is not Outcome.CANCELLED):
            yield f"{entry.job_id} was told cancelled; its result is {_outcome(result)}"


def _foes_got_nowhere(seen: Evidence) -> Iterator[str]:
    for one in seen.hostile:
        if not one.answer:
            yield f"a hostile call was accepted: {one.what}"
        elif one.answer.startswith("!"):
            yield f"a hostile call met an error that was not promised: {one.what}: {one.answer[2:]}"
        elif len(one.answer) > 600:
            yield f"the answer to a hostile call is {len(one.answer)} characters long: {one.what}"
    for job_id in seen.poison:
        result = seen.results.get(job_id)
        if result is None or result.outcome is not Outcome.REJECTED:
            yield f"poison {job_id} must end rejected; its result is {_outcome(result)}"
    if seen.trapped:
        yield "somebody unpickled what a foe wrote"
    marks = {change.mark for change in seen.changes.values()}
    for arrival in seen.arrivals:
        strange = [value for value in arrival.values if value not in marks]
        if strange and arrival.user:
            yield f"at {seen.at(arrival.at_ns)}, {strange[0]!r} was sent for {arrival.user}, which nobody asked for"


def _nobody_died(seen: Evidence) -> Iterator[str]:
    yield from seen.lost
    yield from seen.surprises
    yield from seen.failed


def _no_secret(seen: Evidence) -> Iterator[str]:
    yield from sorted(set(seen.leaks))


def _kept(seen: Evidence, late: Late) -> Iterator[str]:
    by_mark = {(change.lane, change.mark): change for change in seen.changes.values()}
    lanes = seen.lanes()
    for (lane, symbol), mark in seen.kept.items():
        holds = by_mark.get((lane, mark))
        if holds is None:
            yield f"the exchange holds {mark!r} for {lane}, {symbol}, which nobody asked for"
            continue
        for change in lanes[lane]:
            result = seen.results.get(change.job_id)
            if not (result and result.applied and symbol in change.symbols and holds.precedes(change)):
                continue
            if not late.explains_lane(lane):
                yield f"the exchange holds {_named(holds)} for {symbol}, though {_named(change)} was applied after it"
            break
    for lane, changes in lanes.items():
        for change in changes:
            if change.is_last and not any((lane, symbol) in seen.kept for symbol in change.symbols):
                yield f"the exchange holds nothing for {lane}, though {_named(change)} is the last"


CHECKS: dict[str, Check] = {
    "nothing is lost": _nothing_lost,
    "one outcome each": _one_outcome,
    "nothing is left behind": _nothing_left,
    "counters agree with results": _counted,
    "batches agree with results": _batches,
    "readers get each result once": _read_once,
    "what was taken back is": _taken_back,
    "each outcome has its reason": as_it_must,
    "no more than a user may": within_the_users_limit,
    "no more than an address may": within_the_address_limit,
    "foes get nowhere": _foes_got_nowhere,
    "nobody dies by himself": _nobody_died,
    "no secret is anywhere": _no_secret,
}


def _named(change: Change) -> str:
    return f"{change.job_id} of {change.user}, {change.trader}"


def _outcome(result: JobResult | None) -> str:
    return "missing" if result is None else str(result.outcome)
