"""What the chaos run adds to the ledger: Redis's history, batches, readers, processes, leaks. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ops.chaos.interference import poisoned_user
from ops.chaos.journal import Cancelled, Read
from ops.chaos.lost import Lost
from ops.ledger.evidence import Evidence as LedgerEvidence


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch as it is stored in Redis.

    Attributes:
        total: the number of its changes.
        in_flight: its changes that are in flight.
        outcomes: its counters.
        complete: whether it is marked as complete.
        sealed: whether it is marked as sealed: no more changes follow.
        stream: job ID and outcome of each result in its stream.
        ends: the number of end markers in its stream.
    """

    batch_id: str
    total: int
    in_flight: int
    outcomes: Mapping[str, int]
    complete: bool
    sealed: bool
    stream: list[tuple[str, str]]
    ends: int


def merged(parts: Iterable[BatchState]) -> list[BatchState]:
    """Return batches as they are over all shards: each of the given states is of the part in one of them."""
    of_batch = defaultdict[str, list[BatchState]](list)
    for part in parts:
        of_batch[part.batch_id].append(part)
    return [found[0] if len(found) == 1 else _merged(found) for found in of_batch.values()]


def _merged(parts: Sequence[BatchState]) -> BatchState:
    ends = {part.ends for part in parts}
    return BatchState(
        batch_id=parts[0].batch_id,
        total=sum(part.total for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        outcomes=sum((Counter(part.outcomes) for part in parts), Counter[str]()),
        complete=all(part.complete for part in parts),
        sealed=all(part.sealed for part in parts),
        stream=[entry for part in parts for entry in part.stream],
        ends=1 if ends == {1} else max(ends - {1}, default=0),
    )


@dataclass(slots=True)
class Evidence(LedgerEvidence):
    """Everything that is known at the end.

    Attributes:
        written: how often each result was written, by job ID, from Redis's append-only file; None if it does not tell.
        lost: what the replicas of a cluster had not got when they took over.
        leftovers: keys that should be gone.
        read: the results that each producer read from the streams of batches.
        read_to_end: the batches that each producer read to their end.
        cancelled: the replies to `cancel`.
        poison: IDs of jobs with a malformed payload, each of which must end `rejected`.
        perhaps_poison: these, and those that may have been written.
        unpickled: whether a process unpickled a payload.
        exited: processes that ended although the run did not end them.
        unexpected_errors: errors that are not documented.
        fenced: settlements that were refused because their session was lost.
        leaks: secrets that were found.
        failed: events of the schedule that could not be carried out.
        drained_s: how long the queue took to drain; None if it never did.
    """

    written: Mapping[str, int] | None = field(default_factory=dict)
    lost: Lost = field(default_factory=Lost)
    batches: list[BatchState] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    read: dict[int, list[Read]] = field(default_factory=dict)
    read_to_end: dict[int, set[str]] = field(default_factory=dict)
    cancelled: list[Cancelled] = field(default_factory=list)
    poison: list[str] = field(default_factory=list)
    perhaps_poison: set[str] = field(default_factory=set)
    unpickled: bool = False
    exited: list[str] = field(default_factory=list)
    unexpected_errors: list[str] = field(default_factory=list)
    fenced: int = 0
    leaks: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    drained_s: float | None = 0.0

    def without_lost_users(self) -> Evidence:
        """Return what is known of the users of whom a replica had everything when it took over.

        What is lost is as if it had not happened: changes are gone, and ends and requests are forgotten and repeated.
        So nothing about these users tells a violation from a loss. The counters, and each batch's, are those of the
        results in any case: one script writes all three, and they are lost together.
        """
        users = self.lost.users
        if not users:
            return self
        changes = {job_id: change for job_id, change in self.changes.items() if change.lane[0] not in users}
        left_out = self.changes.keys() - changes.keys()
        return replace(
            self,
            changes=changes,
            results={job_id: result for job_id, result in self.results.items() if job_id not in left_out},
            arrivals=[arrival for arrival in self.arrivals if arrival.user not in users],
            final_settings={key: held for key, held in self.final_settings.items() if key[0][0] not in users},
            read={
                producer: [entry for entry in entries if entry.job_id not in left_out]
                for producer, entries in self.read.items()
            },
            cancelled=[entry for entry in self.cancelled if entry.job_id not in left_out],
            poison=[job_id for job_id in self.poison if poisoned_user(int(job_id.rpartition("-")[2])) not in users],
        )
