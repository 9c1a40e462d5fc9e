"""What the queue must hold, in plain Python: lanes, claims, batches, and what ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from producers.contract.keyspace import batch_id_of
from producers.queue.submit import SubmitVerdict
from worker.queue.claims import Claim

LANE_LIMIT = 6


@dataclass
class Held:
    """The claim that has a lane in flight.

    Attributes:
        token: the claim's.
        offered: the head, and the changes that may be sent with it.
        until_us: the end of its lease, Redis's clock.
    """

    token: str
    offered: list[str]
    until_us: int


@dataclass
class Batch:
    """A batch as its producers see it.

    Attributes:
        members: job IDs of its changes.
        ended: those that have ended, in the order of their results.
        outcomes: how many ended so.
        is_sealed: whether its producer has no more items.
        has_full_lanes: whether items were refused by full lanes, so that the producer may add them later.
        is_cancelled: whether it was cancelled; it takes no more items.
        is_complete: whether its completion was announced.
    """

    members: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    is_sealed: bool = False
    has_full_lanes: bool = False
    is_cancelled: bool = False
    is_complete: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all of its changes have ended."""
        return len(self.ended) == len(self.members)


@dataclass
class Model:
    """The queue.

    Attributes:
        queued: lane -> job IDs, the head first.
        lane_of: of each queued change.
        bulk: which of them are bulk.
        held: lane -> the claim that has it in flight, whether its lease has lapsed or not.
        lapses: lane -> how many leases of its head lapsed in a row.
        batches: by ID, those that exist.
        accepted: job ID -> how often it was accepted.
        ended: job ID -> how often it ended.
        outcomes: how many changes ended so.
        outcome_of: how each change that has ended did.
        places: lane -> place of each job ID in the order of acceptance.
        claimed: lane -> the highest place that was claimed.
    """

    queued: dict[str, list[str]] = field(default_factory=dict)
    lane_of: dict[str, str] = field(default_factory=dict)
    bulk: set[str] = field(default_factory=set)
    held: dict[str, Held] = field(default_factory=dict)
    lost_deliveries: dict[str, int] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    accepted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    outcome_of: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    claimed: Counter[str] = field(default_factory=Counter)

    def submit(self, lane: str, job_id: str, *, bulk: bool, known: bool) -> int:
        """Accept or refuse a change; return the verdict that the script must give."""
        if known:
            return SubmitVerdict.ALREADY_THERE
        queued = self.queued.get(lane, [])
        if len(queued) >= LANE_LIMIT:
            return SubmitVerdict.LANE_FULL
        self.queued[lane] = [*queued, job_id]
        self.lane_of[job_id] = lane
        self.accepted[job_id] += 1
        self.places[job_id] = self.accepted.total()
        if bulk:
            self.bulk.add(job_id)
        return len(queued) + 1

    def submit_to_batch(self, batch_id: str, chunk: list[tuple[str, str]], *, bulk: bool) -> list[int]:
        """Accept or refuse a chunk of (lane, job ID); return the verdicts."""
        batch = self.batches.get(batch_id, Batch())
        if batch.is_cancelled:
            return [SubmitVerdict.CANCELLED] * len(chunk)
        if batch.is_sealed and not batch.has_full_lanes and not {job_id for _, job_id in chunk} <= batch.members:
            return [SubmitVerdict.SEALED] * len(chunk)
        self.batches[batch_id] = batch
        verdicts = []
        for lane, job_id in chunk:
            verdicts.append(self.submit(lane, job_id, bulk=bulk, known=job_id in batch.members))
            if verdicts[-1] > 0:
                batch.members.add(job_id)
                batch.is_complete = False
        return verdicts

    def claim(self, claim: Claim, now_us: int, until_us: int) -> None:
        """Put a lane in flight, as the script did; check that it was allowed to."""
        queued, before = self.queued[claim.lane], self.held.get(claim.lane)
        offered = [claim.job_id, *(job_id for job_id, _ in claim.coalescable)]
        assert queued[: len(offered)] == offered, "the head is claimed, and those right behind it may join"
        assert self.places[claim.job_id] >= self.claimed[claim.lane], "a lane's changes are sent in their order"
        self.claimed[claim.lane] = self.places[claim.job_id]
        assert before is None or now_us >= before.until_us - 1_000, "a lane is held by one until its lease ends"
        self.lost_deliveries[claim.lane] = (
            self.lost_deliveries.get(claim.lane, 0) + 1 if before else self.lost_deliveries.get(claim.lane, 0)
        )
        assert claim.lost_deliveries == self.lost_deliveries[claim.lane]
        self.held[claim.lane] = Held(claim.token, offered, until_us)

    def holds(self, claim: Claim) -> bool:
        """Return whether the lane is still in flight under this claim."""
        held = self.held.get(claim.lane)
        return held is not None and held.token == claim.token

    def release(self, lane: str, *, sent: bool) -> None:
        """Take a lane out of flight: its claim was settled."""
        del self.held[lane]
        if sent:
            self.lost_deliveries.pop(lane, None)

    def is_in_flight(self, job_id: str) -> bool:
        """Return whether a change was offered to a worker whose claim still stands."""
        held = self.held.get(self.lane_of[job_id])
        return held is not None and job_id in held.offered

    def end(self, job_id: str, outcome: str) -> None:
        """End a change."""
        lane = self.lane_of.pop(job_id)
        if self.queued[lane][0] == job_id:
            self.lost_deliveries.pop(lane, None)
        self.queued[lane].remove(job_id)
        if not self.queued[lane]:
            del self.queued[lane]
        self.bulk.discard(job_id)
        self.ended[job_id] += 1
        self.outcome_of[job_id] = outcome
        self.outcomes[outcome] += 1

    def announce(self, job_ids: list[str]) -> None:
        """Add changes to their batches' results, in the order in which their ends were announced."""
        for job_id in job_ids:
            batch = self.batches.get(batch_id_of(job_id) or "")
            if batch is not None:
                batch.ended.append(job_id)
                batch.outcomes[self.outcome_of[job_id]] += 1

    def newly_complete(self) -> list[str]:
        """Return the batches that have become complete since the last call."""
        found = sorted(
            batch_id
            for batch_id, batch in self.batches.items()
            if batch.is_sealed and batch.is_over and not batch.is_complete
        )
        for batch_id in found:
            self.batches[batch_id].is_complete = True
        return found
