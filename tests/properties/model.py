"""What the queue must hold, in plain Python: lanes, claims, batches, and what ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

from producers.contract.ids import batch_id_of
from producers.queue.submit_messages import SubmitVerdict
from tests.properties.sessions import Sessions

LANE_LIMIT = 6


@dataclass
class Held:
    """The claim that has a lane in flight.

    Attributes:
        session: the session that it belongs to.
        token: the claim's.
        job_id: the head.
        is_lost: whether its reply never came, so that the session's next renewal gives it back.
    """

    session: str
    token: str
    job_id: str
    is_lost: bool = False


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
        templated: which changes are of their batch's template.
        held: lane -> the claim that has it in flight, until it is settled, given back or taken back.
        taken: (session, lane) -> token and head of what was taken back from the session.
        lost_deliveries: lane -> how many sessions in a row were lost with its head.
        sessions: the sessions, and the served clock.
        batches: by ID, those that exist.
        accepted: job ID -> how often it was accepted.
        ended: job ID -> how often it ended.
        outcomes: how many changes ended so.
        outcome_of: how each change that has ended did.
        contents: job ID -> digest of its content.
        places: lane -> place of each job ID in the order of acceptance.
        claimed: lane -> the highest place that was claimed.
    """

    queued: dict[str, list[str]] = field(default_factory=dict)
    lane_of: dict[str, str] = field(default_factory=dict)
    bulk: set[str] = field(default_factory=set)
    templated: set[str] = field(default_factory=set)
    held: dict[str, Held] = field(default_factory=dict)
    taken: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    lost_deliveries: Counter[str] = field(default_factory=Counter)
    sessions: Sessions = field(default_factory=Sessions)
    batches: dict[str, Batch] = field(default_factory=dict)
    accepted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    outcome_of: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    claimed: Counter[str] = field(default_factory=Counter)

    def submit(self, lane: str, job_id: str, content: str, *, bulk: bool, known: bool, compared: bool = True) -> int:
        """Accept or refuse a change; return the verdict that the script must give."""
        if known:
            same = not compared or self.contents[job_id] == content
            return SubmitVerdict.ALREADY_THERE if same else SubmitVerdict.OTHER_CHANGE
        queued = self.queued.get(lane, [])
        if len(queued) >= LANE_LIMIT:
            return SubmitVerdict.LANE_FULL
        self.queued[lane] = [*queued, job_id]
        self.lane_of[job_id] = lane
        self.contents[job_id] = content
        self.accepted[job_id] += 1
        self.places[job_id] = self.accepted.total()
        if bulk:
            self.bulk.add(job_id)
        return len(queued) + 1

    def submit_to_batch(
        self, batch_id: str, chunk: list[tuple[str, str, str]], *, bulk: bool, ended: Container[str] = ()
    ) -> list[int]:
        """Accept or refuse a chunk of (lane, job ID, content); return the verdicts.

        Changes of a template have the content "". `ended`: the changes that have a result still.
        """
        batch = self.batches.get(batch_id, Batch())
        if batch.is_cancelled:
            return [SubmitVerdict.CANCELLED] * len(chunk)
        if batch.is_sealed and not batch.has_full_lanes and not {job_id for _, job_id, _ in chunk} <= batch.members:
            return [SubmitVerdict.SEALED] * len(chunk)
        self.batches[batch_id] = batch
        verdicts = []
        for lane, job_id, content in chunk:
            known, compared = job_id in batch.members, job_id in self.lane_of or job_id in ended
            verdicts.append(self.submit(lane, job_id, content, bulk=bulk, known=known, compared=compared))
            if verdicts[-1] > 0:
                batch.members.add(job_id)
                if not content:
                    self.templated.add(job_id)
                batch.is_complete = False
        return verdicts

    def claim(self, lane: str, offered: list[str], held: Held) -> None:
        """Put a lane in flight, as the script did; check that it was allowed to."""
        assert self.queued[lane][: len(offered)] == offered, "the head is claimed, and those right behind it may join"
        assert self.places[held.job_id] >= self.claimed[lane], "a lane's changes are sent in their order"
        assert lane not in self.held, "a lane is held by one session until it is settled, given back or taken back"
        self.claimed[lane] = self.places[held.job_id]
        self.held[lane] = held

    def give_back(self, session: str) -> list[str]:
        """Release what a session claimed without knowing it; return the lanes."""
        lanes = [lane for lane, held in self.held.items() if held.session == session and held.is_lost]
        for lane in lanes:
            del self.held[lane]
        return lanes

    def take_back(self, session: str) -> list[str]:
        """Release what a dead session holds, each with a lost delivery; return the lanes."""
        lanes = [lane for lane, held in self.held.items() if held.session == session]
        for lane in lanes:
            held = self.held.pop(lane)
            self.taken[session, lane] = held.token, held.job_id
            self.lost_deliveries[lane] += 1
        return lanes

    def take_lost_delivery_off(self, session: str, lane: str, token: str) -> bool:
        """Take note that a session which was taken back lives. Return whether that changed the lane's count."""
        if self.taken.get((session, lane), ("", ""))[0] != token:
            return False
        _, job_id = self.taken.pop((session, lane))
        is_head = self.queued.get(lane, [""])[0] == job_id
        if not is_head or not self.lost_deliveries[lane]:
            return False
        self.lost_deliveries[lane] -= 1
        return True

    def holds(self, lane: str, session: str, token: str) -> bool:
        """Return whether a lane is still in flight under this claim."""
        held = self.held.get(lane)
        return held is not None and (held.session, held.token) == (session, token)

    def release(self, lane: str, *, sent: bool) -> None:
        """Take a lane out of flight: its claim was settled."""
        del self.held[lane]
        if sent:
            self.lost_deliveries.pop(lane, None)

    def is_in_flight(self, job_id: str) -> bool:
        """Return whether a change is the head of a lane that is in flight."""
        held = self.held.get(self.lane_of[job_id])
        return held is not None and held.job_id == job_id

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
