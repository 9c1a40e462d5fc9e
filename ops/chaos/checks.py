"""The verdicts on all guarantees: the ledger's checks, and those that only a chaos run needs. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from ops.chaos.evidence import BatchState, Evidence
from ops.ledger.causes import outcomes_have_causes
from ops.ledger.final_settings import last_applied_is_held
from ops.ledger.limits import within_address_limit, within_user_limit
from ops.ledger.order import in_order, not_sent_after_end, one_at_a_time
from ops.ledger.outcomes import counters_agree, nothing_lost
from ops.ledger.verdict import StallExcuses, Verdict
from producers import Outcome
from producers.contract.ids import batch_id_of


class Judgement(NamedTuple):
    """The verdicts on all guarantees.

    Attributes:
        verdicts: one for each guarantee.
        excused: the number of late requests that stalls excuse.
        explained: the number of violations about users of whom a replica had not got something, by guarantee.
    """

    verdicts: list[Verdict]
    excused: int
    explained: dict[str, int]


def judge(everything: Evidence) -> Judgement:
    """Return the verdicts on all guarantees. What a lost replication explains is counted, and is no violation."""
    seen = everything.without_lost_users()
    verdicts, excused = _judge(seen, everything)
    of_all = verdicts if seen is everything else _judge(everything, everything)[0]
    explained = {
        one.name: more
        for one, of_each in zip(of_all, verdicts, strict=True)
        if (more := len(one.violations) - len(of_each.violations))
    }
    return Judgement(verdicts, excused, explained)


def _judge(seen: Evidence, everything: Evidence) -> tuple[list[Verdict], int]:
    excuses = StallExcuses(seen)
    violations = {
        "nothing is lost": [*(["the queue did not drain"] if seen.drained_s is None else []), *nothing_lost(seen)],
        "one outcome each": _written_once(seen),
        "nothing is left behind": (f"{what} is still there" for what in seen.leftovers),
        "counters agree with results": counters_agree(everything),
        "batches agree with results": _batches_agree(everything),
        "readers get each result once": _read_once(seen),
        "cancelled changes end cancelled": _cancelled(seen),
        "each outcome has its cause": outcomes_have_causes(seen),
        "user limit": within_user_limit(seen),
        "address limit": within_address_limit(everything),
        "malformed data does no harm": _poison_is_harmless(seen),
        "no process fails": [*seen.exited, *seen.unexpected_errors, *seen.failed],
        "no secret leaks": sorted(set(seen.leaks)),
        "lanes keep their order": in_order(seen, excuses),
        "nothing is sent after its end": not_sent_after_end(seen, excuses),
        "one request of a lane at a time": one_at_a_time(seen, excuses),
        "the exchange holds what was applied last": last_applied_is_held(seen, excuses),
    }
    return [Verdict(name, list(found)) for name, found in violations.items()], len(excuses.used)


def _written_once(seen: Evidence) -> Iterator[str]:
    written = seen.written
    for job_id, times in (written or {}).items():
        if times > 1 and job_id in seen.results:
            yield f"the result of {job_id} was written {times} times"
    for job_id in seen.results:
        if job_id not in seen.changes and job_id not in seen.perhaps_poison:
            yield f"there is a result of {job_id}, which nobody requested"
        if written is not None and not written.get(job_id):
            yield f"the result of {job_id} is not in Redis's append-only file"


def _batches_agree(seen: Evidence) -> Iterator[str]:
    expected: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for job_id, result in seen.results.items():
        batch_id = batch_id_of(job_id)
        if batch_id is not None:
            expected[batch_id][job_id] = str(result.outcome)
    for batch in seen.batches:
        for violation in _batch_violations(batch, expected.pop(batch.batch_id, {})):
            yield f"batch {batch.batch_id}: {violation}"
    for batch_id, results in expected.items():
        yield f"batch {batch_id} does not exist, although it has {len(results)} results"


def _batch_violations(batch: BatchState, results: dict[str, str]) -> Iterator[str]:
    streamed = dict(batch.stream)
    if len(streamed) != len(batch.stream):
        yield f"{len(batch.stream) - len(streamed)} results are twice in its stream"
    if streamed != results:
        yield f"its stream and its results differ: {sorted(streamed.items() ^ results.items())[:3]}"
    if dict(batch.outcomes) != Counter(results.values()) or batch.total != len(results):
        yield f"it counts {batch.total}, {dict(batch.outcomes)}; its results are {dict(Counter(results.values()))}"
    if batch.in_flight:
        yield f"{batch.in_flight} are in flight, although all have ended"
    if batch.sealed and not (batch.complete and batch.ends == 1):
        yield f"it is sealed and all have ended, but its stream has {batch.ends} end markers"


def _read_once(seen: Evidence) -> Iterator[str]:
    for producer, entries in seen.read.items():
        for job_id, times in Counter(entry.job_id for entry in entries).items():
            if times > 1:
                yield f"producer {producer} read the result of {job_id} {times} times"
        for entry in entries:
            if seen.outcome(entry.job_id) != entry.outcome:
                stored = seen.outcome(entry.job_id)
                yield f"producer {producer} read {entry.outcome} of {entry.job_id}; its result is {stored}"
        for batch_id in seen.read_to_end.get(producer, ()):
            results = {job_id for job_id in seen.results if batch_id_of(job_id) == batch_id}
            missing = results - {entry.job_id for entry in entries if entry.batch_id == batch_id}
            if missing:
                yield f"producer {producer} read batch {batch_id} to its end without {sorted(missing)[:3]}"


def _cancelled(seen: Evidence) -> Iterator[str]:
    for entry in seen.cancelled:
        if entry.verdict == "cancelled" and seen.outcome(entry.job_id) != Outcome.CANCELLED:
            yield f"{entry.job_id} was reported as cancelled; its result is {seen.outcome(entry.job_id)}"


def _poison_is_harmless(seen: Evidence) -> Iterator[str]:
    for job_id in seen.poison:
        if seen.outcome(job_id) != Outcome.REJECTED:
            yield f"malformed job {job_id} must end rejected; its result is {seen.outcome(job_id)}"
    if seen.unpickled:
        yield "a process unpickled a payload"
    values = {change.trace_value for change in seen.changes.values()}
    for arrival in seen.arrivals:
        unknown = [value for value in arrival.values if value not in values]
        if unknown and arrival.user:
            yield f"at {seen.clock(arrival.at_ns)}, {unknown[0]!r} was sent for {arrival.user}; nobody requested it"
